-- Takes or renews the lease of owner on an unfinished batch for ttl_ms; 0 gives it back. Answers with the
-- record and the orders, or nil if another process has the lease or the batch has ended.
local ROOT, id, owner, ttl_ms = KEYS[1], unpack(ARGV)
local batch = ROOT .. 'batch:' .. id
if redis.call('HEXISTS', ROOT .. 'open', id) == 0 then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', batch, 'owner', 'until_ms', 'record', 'cancel', 'paused')
local until_ms = tonumber(known[2] or 0)
-- A time that is further away than any lease was written before the clock of the server was set back.
local held = known[1] and known[1] ~= owner and until_ms > now and until_ms <= now + 60000
if held or not known[3] then
  return false
end
if tonumber(ttl_ms) == 0 then
  redis.call('HDEL', batch, 'owner', 'until_ms')
  return false
end
redis.call('HSET', batch, 'owner', owner, 'until_ms', string.format('%.0f', now + ttl_ms))
return { known[3], known[4] and 1 or 0, known[5] and 1 or 0 }
