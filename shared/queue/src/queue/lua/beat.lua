-- Renews a lease that is still held. A worker that lost its lease is told so, and nothing changes.
local id, owner, attempt, good_for_ms = unpack(ARGV)
local job = held(id, owner, attempt)
if not job then
  return 'lost'
end
local deadline, now = get(id, 'deadline_ms').deadline_ms, now_ms()
-- If the stream was deleted by hand, the lease goes on without it.
redis.pcall('XCLAIM', STREAM .. job.queue, GROUP, owner, 0, job.entry, 'JUSTID')
redis.call('ZADD', LEASES, now + tonumber(good_for_ms), id)
if job.cancel then
  return 'cancel'
end
return deadline and tonumber(deadline) <= now and 'late' or 'kept'
