-- Checks some open jobs, and repairs those that fell out of the queue. Such a job is queued without
-- an entry, or running without a lease. No script loses a job, but a deleted stream or an evicted key
-- does. Calls go on after each other through all open jobs.
-- min_age_ms: shortest time from the begin of one way through to that of the next. Answers 1 if jobs
-- are left to be checked, and the ids of the repaired.
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

local book = fields_of(BOOK, 'check', 'checked_ms')
if not book.check then
  if now - tonumber(book.checked_ms or 0) < tonumber(min_age_ms) then
    return { 0, mended }
  end
  redis.call('HSET', BOOK, 'checked_ms', now)
end
local scanned = redis.call('SSCAN', OPEN, book.check or '0', 'COUNT', limit)
-- An id begins with the time of its making, so what comes back keeps its order.
table.sort(scanned[2])
for _, id in ipairs(scanned[2]) do
  local state = get(id, 'state').state
  if state ~= 'queued' and state ~= 'running' then
    redis.call('SREM', OPEN, id)
    redis.call('ZREM', DELAYED, id)
    redis.call('ZREM', DEADLINES, id)
    redis.call('ZREM', LEASES, id)
    for _, lane in ipairs(LANES) do
      redis.call('ZREM', ENDS .. lane, id)
    end
  elseif state == 'queued' and not is_waiting(id) then
    redis.call('HDEL', JOB .. id, 'parked')
    push(id)
    mended[#mended + 1] = id
  elseif state == 'running' and not redis.call('ZSCORE', LEASES, id) then
    redis.call('ZADD', LEASES, now, id)
    mended[#mended + 1] = id
  end
end
if scanned[1] == '0' then
  redis.call('HDEL', BOOK, 'check')
  return { 0, mended }
end
redis.call('HSET', BOOK, 'check', scanned[1])
return { 1, mended }
