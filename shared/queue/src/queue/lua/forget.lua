-- succeeded | cancelled | expired -> the same, without what the caller has noted elsewhere: receipt and
-- request. How the job ended is remembered for ttl_ms more, so that a worker that repeats its commit
-- gets its answer. A failed job stays, because its dead letter can be replayed.
local ttl_ms = ARGV[1]
local KEPT = { succeeded = true, cancelled = true, expired = true }
local forgotten = 0
for place = 2, #ARGV do
  local id = ARGV[place]
  if KEPT[get(id, 'state').state or ''] then
    redis.call('HDEL', JOB .. id, 'receipt', 'failure', 'spec', 'base', 'kind', 'bytes', 'model', 'build')
    redis.call('PEXPIRE', JOB .. id, ttl_ms)
    forgotten = forgotten + 1
  end
end
return forgotten
