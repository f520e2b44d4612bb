-- Records a worker's report. The fleet's capacity and slots are the sums over the living workers.
-- status: JSON, '' when the worker leaves. capacity: frames a second, thousandths. slots: those that
-- a job of each lane may take. A worker that stays also reports each lane as it is on other shards.
local owner, status, capacity, good_for_ms, slots, others_live, others_standard, others_bulk = unpack(ARGV)

lapse()
if status == '' then
  dismiss(owner)
else
  leave(owner)
  redis.call('ZADD', ALIVE, now_ms() + tonumber(good_for_ms), owner)
  redis.call('HSET', WORKERS, 'status:' .. owner, status, 'capacity:' .. owner, capacity, 'slots:' .. owner, slots)
  count_worker(owner, 1)
  redis.call('HSET', BOOK, 'others:live', others_live, 'others:standard', others_standard, 'others:bulk', others_bulk)
end
return redis.call('ZCARD', ALIVE)
