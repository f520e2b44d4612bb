-- Renews a lease that is still held; a worker that lost it learns so and changes nothing.
-- ARGV: id, owner, attempt, lease_ms
local id, owner = ARGV[1], ARGV[2]
if not holds(id, owner, ARGV[3]) then
  return 'lost'
end
local job = get(id, 'lane', 'entry', 'cancel')
redis.call('XCLAIM', STREAM[job[1]], GROUP, owner, 0, job[2], 'JUSTID')
redis.call('ZADD', LEASES, now_ms() + tonumber(ARGV[4]), id)
return job[3] and 'cancel' or 'kept'
