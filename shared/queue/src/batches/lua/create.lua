-- Creates a batch. 0 if the tenant has too many unfinished ones; repeated, it changes nothing.
-- Keys: batch:<id> (record, cancel, paused, owner, until_ms), list:<tenant> (ids by time of creation),
-- open (id -> tenant of the unfinished ones), unfinished (tenant -> number of them).
local ROOT, id, tenant, record, created, most = KEYS[1], unpack(ARGV)
local batch = ROOT .. 'batch:' .. id
if redis.call('EXISTS', batch) == 1 then
  return 1
end
local open = tonumber(redis.call('HGET', ROOT .. 'unfinished', tenant) or 0)
if open >= tonumber(most) then
  return 0
end
redis.call('HSET', batch, 'record', record)
redis.call('ZADD', ROOT .. 'list:' .. tenant, created, id)
redis.call('HSET', ROOT .. 'open', id, tenant)
redis.call('HINCRBY', ROOT .. 'unfinished', tenant, 1)
return 1
