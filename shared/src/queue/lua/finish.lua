-- running -> succeeded | failed | cancelled, fenced. A repeat of the same commit is told that it was committed.
-- ARGV: id, owner, attempt, state, field ('receipt' | 'failure' | ''), value, ttl_ms
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
if state == 'succeeded' and get(id, 'cancel')[1] then
  settle(id, 'cancelled', ARGV[7])
  return 'cancelled'
end
if ARGV[5] ~= '' then
  redis.call('HSET', JOB .. id, ARGV[5], ARGV[6])
end
settle(id, state, ARGV[7])
return 'committed'
