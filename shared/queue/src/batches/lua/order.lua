-- Sets or removes the mark of an order at an unfinished batch. 0 if the batch has ended.
local ROOT, id, mark, set = KEYS[1], unpack(ARGV)
if redis.call('HEXISTS', ROOT .. 'open', id) == 0 then
  return 0
end
if set == '1' then
  redis.call('HSET', ROOT .. 'batch:' .. id, mark, 1)
else
  redis.call('HDEL', ROOT .. 'batch:' .. id, mark)
end
return 1
