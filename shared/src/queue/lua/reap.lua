-- running -> queued for every lease that ran out, or -> failed when too many attempts were lost. Any process may call it.
-- ARGV: limit, budget, failure, ttl_ms
local reaped = {}
local late = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[1]))
for _, id in ipairs(late) do
  redis.call('ZREM', LEASES, id)
  if get(id, 'state')[1] == 'running' then
    blame(id)
    leave_running(id)
    redis.call('HSET', JOB .. id, 'failure', ARGV[3])
    reaped[#reaped + 1] = { id, again_or_fail(id, 0, tonumber(ARGV[2]), ARGV[4]) }
  end
end
return reaped
