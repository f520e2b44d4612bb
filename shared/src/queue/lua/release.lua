-- running -> queued by a worker that drains: nothing failed, so nothing is counted. Fenced.
-- ARGV: id, owner, attempt, ttl_ms
local id = ARGV[1]
local job = held(id, ARGV[2], ARGV[3])
if not job then
  return 'stale'
end
leave_running(id, job)
if job.cancel then
  settle(id, job, 'cancelled', ARGV[4])
  return 'cancelled'
end
requeue(id, job, 0)
return 'queued'
