-- running -> queued by a worker that drains. Nothing failed, so nothing is counted. Fenced.
local id, owner, attempt, ttl_ms = unpack(ARGV)
local job = held(id, owner, attempt)
if not job then
  return 'stale'
end
leave_running(id, job)
if job.cancel then
  settle(id, job, 'cancelled', ttl_ms)
  return 'cancelled'
end
requeue(id, job, 0)
return 'queued'
