-- Renews a lease that is still held; a worker that lost it learns so and changes nothing.
-- ARGV: id, owner, attempt, good_for_ms
local id, owner = ARGV[1], ARGV[2]
local job = held(id, owner, ARGV[3])
if not job then
  return 'lost'
end
local deadline, now = get(id, 'deadline_ms')[1], now_ms()
-- Where the stream was deleted by hand the lease goes on without it.
redis.pcall('XCLAIM', STREAM .. job.queue, GROUP, owner, 0, job.entry, 'JUSTID')
redis.call('ZADD', LEASES, now + tonumber(ARGV[4]), id)
if job.cancel then
  return 'cancel'
end
return deadline and tonumber(deadline) <= now and 'late' or 'kept'
