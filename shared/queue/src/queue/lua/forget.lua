-- succeeded | cancelled | expired -> the same, without what the caller has noted elsewhere: receipt and
-- request. How the job ended is remembered for ttl_ms more, so that a worker that repeats its commit
-- gets its answer. A failed job stays, because its dead letter can be replayed.
local ttl_ms = ARGV[1]
local KEPT = { succeeded = true, cancelled = true, expired = true }
local DROPPED = { receipt = true, failure = true, spec = true, base = true, kind = true, bytes = true, model = true,
  build = true, cost = true, warnings = true }
local forgotten = 0
for place = 2, #ARGV do
  local id = ARGV[place]
  if KEPT[get(id, 'state').state or ''] then
    -- A hash that held a long value stays large when the value is gone, so the rest is written anew.
    local rest = {}
    local all = redis.call('HGETALL', JOB .. id)
    for field = 1, #all, 2 do
      if not DROPPED[all[field]] then
        rest[#rest + 1] = all[field]
        rest[#rest + 1] = all[field + 1]
      end
    end
    redis.call('DEL', JOB .. id)
    redis.call('HSET', JOB .. id, unpack(rest))
    redis.call('PEXPIRE', JOB .. id, ttl_ms)
    forgotten = forgotten + 1
  end
end
return forgotten
