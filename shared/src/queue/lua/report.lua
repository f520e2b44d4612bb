-- What a worker says of itself; the sum of what living workers can do is the fleet's capacity.
-- ARGV: owner, status (JSON; '' when it leaves), capacity (frames a second, thousandths), good_for_ms, and of a worker that
-- stays the frames that wait on other shards in each lane
local owner, now = ARGV[1], now_ms()

lapse()
if ARGV[2] == '' then
  dismiss(owner)
else
  leave(owner)
  redis.call('ZADD', ALIVE, now + tonumber(ARGV[4]), owner)
  redis.call('HSET', WORKERS, 'status:' .. owner, ARGV[2], 'capacity:' .. owner, ARGV[3])
  redis.call('HINCRBY', BOOK, 'capacity', ARGV[3])
  redis.call('HSET', BOOK, 'elsewhere:live', ARGV[5], 'elsewhere:standard', ARGV[6], 'elsewhere:bulk', ARGV[7])
end
return redis.call('ZCARD', ALIVE)
