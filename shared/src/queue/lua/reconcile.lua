-- Looks at the open jobs that were not looked at for the longest time, and puts back what has fallen out of the queue: a
-- queued job with no entry, a running one without a lease. No script loses one; a deleted stream or an evicted key does.
-- ARGV: limit, not_before_ms (how long ago the last look must be)
local now, mended = now_ms(), {}

local function is_waiting(id)
  local job = get(id, 'queue', 'entry', 'parked', 'tenant')
  if redis.call('ZSCORE', DELAYED, id) then
    return true
  end
  if job[3] then
    local waits = redis.call('EXISTS', PARKED .. ':' .. job[4]) == 1
    if waits then
      redis.call('SADD', PARKED, job[4])
    end
    return waits
  end
  if not job[2] or #redis.call('XRANGE', STREAM .. job[1], job[2], job[2]) == 0 then
    return false
  end
  -- Delivered to somebody while nobody runs it.
  local pending = redis.pcall('XPENDING', STREAM .. job[1], GROUP, job[2], job[2], 1)
  if not pending.err and #pending > 0 then
    drop_entry(job[1], job[2])
    return false
  end
  -- Suspects are looked for only where the book counts some.
  if job[1] == SUSPECTS and tonumber(redis.call('HGET', BOOK, 'suspects') or 0) < 1 then
    redis.call('HSET', BOOK, 'suspects', 1)
  end
  return true
end

local stale = redis.call('ZRANGEBYSCORE', OPEN, '-inf', now - tonumber(ARGV[2]), 'LIMIT', 0, tonumber(ARGV[1]))
for _, id in ipairs(stale) do
  local state = get(id, 'state')[1]
  if state ~= 'queued' and state ~= 'running' then
    redis.call('ZREM', OPEN, id)
    redis.call('ZREM', DELAYED, id)
    redis.call('ZREM', DEADLINES, id)
    redis.call('ZREM', LEASES, id)
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
return mended
