-- running -> queued for every lease that ran out, or -> failed if failures and crashes have used up
-- the budget of tries. Any process may call it. `blame` in prelude.lua makes suspects: jobs that ran
-- beside others run again alone, uncharged. absence_ms: time without a check of the leases that means
-- that Redis was away; grace_ms: time in which no lease is lost then.
local limit, budget, failure, ttl_ms, absence_ms, grace_ms = unpack(ARGV)
-- Time by which each note lessens `ahead_ms`, so that times in records become true again: an hour
-- is caught up within a day.
local CATCH_UP_MS = 50
local NOTE_EVERY_MS = 500
local reaped, now = {}, now_ms()
local book = fields_of(BOOK, 'reaped_ms', 'ahead_ms', 'grace_until_ms')
-- The leases are checked every second. If they were not for longer, Redis was out of reach, also
-- for the heartbeats of healthy workers. No lease is lost until there was time for one more
-- heartbeat.
local last, grace_until = tonumber(book.reaped_ms or 0), tonumber(book.grace_until_ms or 0)
if last > 0 and now - last > tonumber(absence_ms) then
  grace_until = now + tonumber(grace_ms)
end
-- Two notes a second are enough, however many processes check. One is due at once if the server's
-- clock was set back, because the time of the book stands still until then.
local ahead, due = ahead_ms(), now - last >= NOTE_EVERY_MS
if due or ahead > tonumber(book.ahead_ms or 0) then
  ahead = due and math.max(0, ahead - CATCH_UP_MS) or ahead
  redis.call('HDEL', BOOK, 'reaped_ms')
  redis.call('HSET', BOOK, 'reaped_ms', now, 'ahead_ms', ahead, 'grace_until_ms', grace_until)
end
if now < grace_until then
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
