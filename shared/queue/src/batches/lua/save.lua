-- Replaces the record of a batch whose lease is the owner's, and renews the lease. expires, in Unix seconds,
-- is 0 for an unfinished batch. Answers like lease.lua.
local ROOT, id, owner, record, ttl_ms, expires = KEYS[1], unpack(ARGV)
local batch = ROOT .. 'batch:' .. id
local known = redis.call('HMGET', batch, 'owner', 'cancel', 'paused')
if known[1] ~= owner then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', batch, 'record', record, 'until_ms', string.format('%.0f', now + ttl_ms))
if tonumber(expires) > 0 then
  local tenant = redis.call('HGET', ROOT .. 'open', id)
  if tenant then
    redis.call('HDEL', ROOT .. 'open', id)
    if redis.call('HINCRBY', ROOT .. 'unfinished', tenant, -1) <= 0 then
      redis.call('HDEL', ROOT .. 'unfinished', tenant)
    end
    -- The lists of records that were forgotten shrink with each batch that ends.
    redis.call('ZREMRANGEBYSCORE', ROOT .. 'list:' .. tenant, '-inf', time[1] - 31 * 24 * 3600)
  end
  redis.call('HDEL', batch, 'owner', 'until_ms')
  redis.call('EXPIREAT', batch, expires)
end
return { record, known[2] and 1 or 0, known[3] and 1 or 0 }
