-- Checks the open jobs whose last check is oldest, and repairs those that fell out of the queue.
-- Such a job is queued without an entry, or running without a lease. No script loses a job, but a
-- deleted stream or an evicted key does.
-- min_age_ms: shortest time since the last check of a job. Answers the number checked and the ids of
-- the repaired.
local limit, min_age_ms = unpack(ARGV)
local now, mended = now_ms(), {}

local function is_waiting(id)
  local job = get(id, 'queue', 'entry', 'parked', 'tenant')
  if redis.call('ZSCORE', DELAYED, id) then
    return true
  end
  if job.parked then
    local waits = redis.call('EXISTS', PARKED .. ':' .. job.tenant) == 1
    if waits then
      redis.call('SADD', PARKED, job.tenant)
    end
    return waits
  end
  if not job.entry or #redis.call('XRANGE', STREAM .. job.queue, job.entry, job.entry) == 0 then
    return false
  end
  -- Delivered to a worker, while no worker runs it.
  local pending = redis.pcall('XPENDING', STREAM .. job.queue, GROUP, job.entry, job.entry, 1)
  if not pending.err and #pending > 0 then
    drop_entry(job.queue, job.entry)
    return false
  end
  redis.call('ZADD', WAITS .. job.queue, place_of(job.entry), id)
  -- Suspects are read only if the book counts some.
  if job.queue == SUSPECTS and tonumber(redis.call('HGET', BOOK, 'suspects') or 0) < 1 then
    redis.call('HSET', BOOK, 'suspects', 1)
  end
  return true
end

local stale = redis.call('ZRANGEBYSCORE', OPEN, '-inf', now - tonumber(min_age_ms), 'LIMIT', 0, limit)
for _, id in ipairs(stale) do
  local state = get(id, 'state').state
  if state ~= 'queued' and state ~= 'running' then
    redis.call('ZREM', OPEN, id)
    redis.call('ZREM', DELAYED, id)
    redis.call('ZREM', DEADLINES, id)
    redis.call('ZREM', LEASES, id)
    for _, lane in ipairs(LANES) do
      redis.call('ZREM', ENDS .. lane, id)
    end
  else
    redis.call('ZADD', OPEN, 'XX', now, id)
    if state == 'queued' and not is_waiting(id) then
      redis.call('HDEL', JOB .. id, 'parked')
      push(id)
      mended[#mended + 1] = id
    elseif state == 'running' and not redis.call('ZSCORE', LEASES, id) then
      redis.call('ZADD', LEASES, now, id)
      mended[#mended + 1] = id
    end
  end
end
return { #stale, mended }
