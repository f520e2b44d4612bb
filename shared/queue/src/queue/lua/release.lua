-- running -> queued, now or after a delay, by a worker that drains or that lacks a part which all
-- jobs share. The job is not at fault, so nothing is counted. Fenced.
local id, owner, attempt, delay_ms, ttl_ms = unpack(ARGV)
local job = held(id, owner, attempt)
if not job then
  return 'stale'
end
leave_running(id, job)
if job.cancel then
  settle(id, job, 'cancelled', ttl_ms)
  return 'cancelled'
end
requeue(id, job, tonumber(delay_ms))
return 'queued'
