-- Records a worker's report. The fleet's capacity is the sum of the living workers' rates.
-- status: JSON, '' when the worker leaves. capacity: frames a second, thousandths.
-- A worker that stays also reports the frames that wait on other shards in each lane.
local owner, status, capacity, good_for_ms, elsewhere_live, elsewhere_standard, elsewhere_bulk = unpack(ARGV)

lapse()
if status == '' then
  dismiss(owner)
else
  leave(owner)
  redis.call('ZADD', ALIVE, now_ms() + tonumber(good_for_ms), owner)
  redis.call('HSET', WORKERS, 'status:' .. owner, status, 'capacity:' .. owner, capacity)
  redis.call('HINCRBY', BOOK, 'capacity', capacity)
  redis.call('HSET', BOOK, 'elsewhere:live', elsewhere_live, 'elsewhere:standard', elsewhere_standard,
    'elsewhere:bulk', elsewhere_bulk)
end
return redis.call('ZCARD', ALIVE)
