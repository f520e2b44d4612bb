-- running -> queued for every lease that ran out, or -> failed if failures and crashes have used up
-- the budget of tries. Any process may call it. `blame` in prelude.lua makes suspects: jobs that ran
-- beside others run again alone, uncharged. absence_ms: time without a check of the leases that means
-- that Redis was away; grace_ms: what each lease gets then.
local limit, budget, failure, ttl_ms, absence_ms, grace_ms = unpack(ARGV)
local reaped, now = {}, now_ms()
-- Processes of the fleet check the leases every few seconds. If none did for longer, Redis was out
-- of reach, also for the heartbeats of healthy workers. Each lease then gets time for one more
-- heartbeat.
local last = tonumber(redis.call('HGET', BOOK, 'reaped_ms') or 0)
-- A note every second is enough, however many processes check.
if now - last >= 1000 then
  redis.call('HDEL', BOOK, 'reaped_ms')
  redis.call('HSET', BOOK, 'reaped_ms', now)
end
if last > 0 and now - last > tonumber(absence_ms) then
  local grace = now + tonumber(grace_ms)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', grace)) do
    redis.call('ZADD', LEASES, 'XX', grace, id)
  end
  return reaped
end
local late = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(late) do
  redis.call('ZREM', LEASES, id)
  local job = job_of(id)
  if job.state == 'running' then
    blame(id, job)
    leave_running(id, job)
    redis.call('HSET', JOB .. id, 'failure', failure)
    reaped[#reaped + 1] = { id, again_or_fail(id, job, 0, tonumber(budget), ttl_ms) }
  end
end
return reaped
