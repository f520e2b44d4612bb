-- running -> succeeded | failed | cancelled, fenced. A repeat of the same commit is told that it was committed.
-- ARGV: id, owner, attempt, state, field ('receipt' | 'failure' | ''), value, ttl_ms
local id, owner, attempt, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not holds(id, owner, attempt) then
  local job = get(id, 'state', 'owner', 'attempt')
  if job[1] == state and job[2] == owner and job[3] == attempt then
    return 'committed'
  end
  return 'stale'
end
if state == 'succeeded' and get(id, 'cancel')[1] then
  end_running(id, 'cancelled', ARGV[7])
  return 'cancelled'
end
if ARGV[5] ~= '' then
  redis.call('HSET', JOB .. id, ARGV[5], ARGV[6])
end
end_running(id, state, ARGV[7])
return 'committed'
