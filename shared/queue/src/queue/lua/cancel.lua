-- queued -> cancelled at once. running: a message makes the worker send a heartbeat now, and the
-- answer to it says so.
-- tenant_rate_max: 0 is no bound. A cancel is never refused, but counts like a job that is created.
local id, ttl_ms, tenant_rate_max = unpack(ARGV)
local job = job_of(id)
local state = job.state
if not state then
  return 'missing'
end
if state == 'queued' then
  settle(id, job, 'cancelled', ttl_ms)
  if tonumber(tenant_rate_max) > 0 then
    spend_rate(job.tenant, tenant_rate_max)
  end
  return 'cancelled'
end
if state == 'running' then
  redis.call('HDEL', JOB .. id, 'cancel')
  redis.call('HSET', JOB .. id, 'cancel', '1')
  redis.call('PUBLISH', JOB .. id .. ':cancel', '1')
  return 'cancelling'
end
return state
