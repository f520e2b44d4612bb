-- running -> succeeded | failed | cancelled, fenced. A repeat of the same commit is told that it was committed.
-- ARGV: id, owner, attempt, state, field ('receipt' | 'failure' | ''), value, ttl_ms, frames (of a success)
local id, owner, attempt, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not holds(id, owner, attempt) then
  local job = get(id, 'state', 'owner', 'attempt')
  local mine = job[2] == owner and job[3] == attempt
  if mine and job[1] == state then
    return 'committed'
  end
  return mine and job[1] == 'cancelled' and 'cancelled' or 'stale'
end
leave_running(id)
local job = get(id, 'cancel', 'cost')
if state == 'succeeded' and job[1] then
  settle(id, 'cancelled', ARGV[7])
  return 'cancelled'
end
if ARGV[5] ~= '' then
  redis.call('HSET', JOB .. id, ARGV[5], ARGV[6])
end
if state == 'succeeded' then
  local ratio = tonumber(redis.call('HGET', BOOK, 'ratio') or 1000)
  local seen = ARGV[8] / math.max(1, job[2]) * 1000
  redis.call('HSET', BOOK, 'ratio', math.max(1, math.floor(ratio * 0.95 + seen * 0.05 + 0.5)))
end
settle(id, state, ARGV[7])
return 'committed'
