-- running -> succeeded | failed | cancelled, fenced. A repeat of the same commit is told that it was committed.
-- ARGV: id, owner, attempt, state, field ('receipt' | 'failure' | ''), value, ttl_ms, frames (of a success)
local id, owner, attempt, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
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
  settle(id, job, 'cancelled', ARGV[7])
  return 'cancelled'
end
if state == 'succeeded' then
  local ratio = tonumber(redis.call('HGET', BOOK, 'ratio') or 1000)
  local seen = ARGV[8] / math.max(1, job.cost) * 1000
  redis.call('HSET', BOOK, 'ratio', math.max(1, math.floor(ratio * 0.95 + seen * 0.05 + 0.5)))
end
if ARGV[5] == '' then
  settle(id, job, state, ARGV[7])
else
  settle(id, job, state, ARGV[7], ARGV[5], ARGV[6])
end
return 'committed'
