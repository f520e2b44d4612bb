-- running -> succeeded | failed | cancelled, fenced. A repeat of the same commit is told that it
-- was committed.
-- field: 'receipt', 'failure' or ''. reason: why the speech ended, or ''.
local id, owner, attempt, state, field, value, ttl_ms, reason = unpack(ARGV)
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
  job.reason = reason
  note_cost(id, job, owner)
end
if field == '' then
  settle(id, job, state, ttl_ms)
else
  settle(id, job, state, ttl_ms, field, value)
end
return 'committed'
