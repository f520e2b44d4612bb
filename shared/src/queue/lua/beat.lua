-- Renews a lease that is still held; a worker that lost it learns so and changes nothing.
-- ARGV: id, owner, attempt, good_for_ms
local id, owner = ARGV[1], ARGV[2]
if not holds(id, owner, ARGV[3]) then
  return 'lost'
end
local job, now = get(id, 'queue', 'entry', 'cancel', 'deadline_ms'), now_ms()
-- Where the stream was deleted by hand the lease goes on without it.
redis.pcall('XCLAIM', STREAM .. job[1], GROUP, owner, 0, job[2], 'JUSTID')
redis.call('ZADD', LEASES, now + tonumber(ARGV[4]), id)
if job[3] then
  return 'cancel'
end
return job[4] and tonumber(job[4]) <= now and 'late' or 'kept'
