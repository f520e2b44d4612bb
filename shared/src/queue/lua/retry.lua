-- running -> queued after a failed attempt, or -> failed when too many failed. Fenced.
-- ARGV: id, owner, attempt, failure, delay_ms, max_failed_attempts, ttl_ms
local id = ARGV[1]
if not holds(id, ARGV[2], ARGV[3]) then
  return 'stale'
end
leave_running(id)
local failures = redis.call('HINCRBY', JOB .. id, 'failures', 1)
redis.call('HSET', JOB .. id, 'failure', ARGV[4])
local job = get(id, 'crashes', 'cancel')
if job[2] then
  settle(id, 'cancelled', ARGV[7])
  return 'cancelled'
end
if failures + job[1] >= tonumber(ARGV[6]) then
  settle(id, 'failed', ARGV[7])
  return 'failed'
end
requeue(id, tonumber(ARGV[5]))
return 'queued'
