-- queued -> cancelled at once. running: a message makes the worker send a heartbeat now, and the
-- answer to it says so. The entry of a queued job stays in its stream until a claim skips it.
-- Deleting an undelivered entry would make the group's lag unknowable.
local id, ttl_ms = unpack(ARGV)
local job = job_of(id)
local state = job.state
if not state then
  return 'missing'
end
if state == 'queued' then
  settle(id, job, 'cancelled', ttl_ms)
  return 'cancelled'
end
if state == 'running' then
  redis.call('HDEL', JOB .. id, 'cancel')
  redis.call('HSET', JOB .. id, 'cancel', '1')
  redis.call('PUBLISH', JOB .. id .. ':cancel', '1')
  return 'cancelling'
end
return state
