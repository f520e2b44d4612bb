-- running -> queued after a failed attempt, or -> failed if too many failed. Fenced. suspect is '1'
-- if the worker itself is about to end, for a reason that may be any of its jobs: see blame.
local id, owner, attempt, failure, delay_ms, budget, suspect, ttl_ms = unpack(ARGV)
local job = held(id, owner, attempt)
if not job then
  return 'stale'
end
leave_running(id, job)
redis.call('HSET', JOB .. id, 'failure', failure)
if suspect == '1' and not job.alone then
  redis.call('HSET', JOB .. id, 'suspect', '1')
else
  redis.call('HINCRBY', JOB .. id, 'failures', 1)
end
return again_or_fail(id, job, tonumber(delay_ms), tonumber(budget), ttl_ms)
