-- What a worker says of itself; the sum of what living workers can do is the fleet's capacity.
-- ARGV: owner, status (JSON; '' when it leaves), capacity (frames a second, thousandths), good_for_ms
local owner, now = ARGV[1], now_ms()

lapse()
leave(owner)
if ARGV[2] ~= '' then
  redis.call('ZADD', ALIVE, now + tonumber(ARGV[4]), owner)
  redis.call('HSET', WORKERS, 'status:' .. owner, ARGV[2], 'capacity:' .. owner, ARGV[3])
  redis.call('HINCRBY', BOOK, 'capacity', ARGV[3])
end
return redis.call('ZCARD', ALIVE)
