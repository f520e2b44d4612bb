-- running -> queued for every lease that ran out, or -> failed when too many attempts were lost. Any process may call it.
-- ARGV: limit, max_failed_attempts, failure, ttl_ms
local reaped = {}
local late = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[1]))
for _, id in ipairs(late) do
  local job = get(id, 'state', 'failures', 'cancel')
  if job[1] ~= 'running' then
    redis.call('ZREM', LEASES, id)
  else
    leave_running(id)
    local crashes = redis.call('HINCRBY', JOB .. id, 'crashes', 1)
    local outcome = 'queued'
    redis.call('HSET', JOB .. id, 'failure', ARGV[3])
    if job[3] then
      outcome = 'cancelled'
      settle(id, outcome, ARGV[4])
    elseif crashes + job[2] >= tonumber(ARGV[2]) then
      outcome = 'failed'
      settle(id, outcome, ARGV[4])
    else
      requeue(id, 0)
    end
    reaped[#reaped + 1] = { id, outcome }
  end
end
return reaped
