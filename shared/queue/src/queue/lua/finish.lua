-- running -> succeeded | failed | cancelled, fenced. A repeat of the same commit is told that it
-- was committed.
-- field: 'receipt', 'failure' or ''. frames: those of a success.
local id, owner, attempt, state, field, value, ttl_ms, frames = unpack(ARGV)
local job = held(id, owner, attempt)
if not job then
  job = job_of(id)
  local mine = job.owner == owner and job.attempt == attempt
  if mine and job.state == state then
    return 'committed'
  end
  return mine and job.state == 'cancelled' and 'cancelled' or 'stale'
end
leave_running(id, job)
if state == 'succeeded' and job.cancel then
  settle(id, job, 'cancelled', ttl_ms)
  return 'cancelled'
end
if state == 'succeeded' then
  local ratio = tonumber(redis.call('HGET', BOOK, 'ratio') or 1000)
  local seen = frames / math.max(1, job.cost) * 1000
  redis.call('HSET', BOOK, 'ratio', math.max(1, math.floor(ratio * 0.95 + seen * 0.05 + 0.5)))
end
if field == '' then
  settle(id, job, state, ttl_ms)
else
  settle(id, job, state, ttl_ms, field, value)
end
return 'committed'
