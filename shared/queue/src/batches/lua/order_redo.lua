-- Leaves the order to speak a line of a batch again with a seed. A batch that has ended is open again until
-- the order is carried out.
local ROOT, id, tenant, order = KEYS[1], unpack(ARGV)
local batch = ROOT .. 'batch:' .. id
local ttl = redis.call('PTTL', batch)
if ttl == -2 then
  return 0
end
local orders = ROOT .. 'redo:' .. id
redis.call('RPUSH', orders, order)
if ttl > 0 then
  redis.call('PEXPIRE', orders, ttl)
end
if redis.call('HSET', ROOT .. 'open', id, tenant) == 1 then
  redis.call('HINCRBY', ROOT .. 'unfinished', tenant, 1)
end
return 1
