-- running -> queued after a failed attempt, or -> failed when too many failed. Fenced. With suspect '1' the worker itself is
-- about to end, for a reason that may be any of its jobs': see blame.
-- ARGV: id, owner, attempt, failure, delay_ms, budget, suspect, ttl_ms
local id = ARGV[1]
local job = held(id, ARGV[2], ARGV[3])
if not job then
  return 'stale'
end
leave_running(id, job)
redis.call('HSET', JOB .. id, 'failure', ARGV[4])
if ARGV[7] == '1' and not job.alone then
  redis.call('HSET', JOB .. id, 'suspect', '1')
else
  redis.call('HINCRBY', JOB .. id, 'failures', 1)
end
return again_or_fail(id, job, tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[8])
