-- running -> queued by a worker that drains: nothing failed, so nothing is counted. Fenced.
-- ARGV: id, owner, attempt, ttl_ms
local id = ARGV[1]
if not holds(id, ARGV[2], ARGV[3]) then
  return 'stale'
end
leave_running(id)
if get(id, 'cancel')[1] then
  settle(id, 'cancelled', ARGV[4])
  return 'cancelled'
end
requeue(id, 0)
return 'queued'
