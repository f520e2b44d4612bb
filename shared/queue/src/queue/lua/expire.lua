-- queued -> expired for every job whose time in the queue is over. A running job goes on, and its
-- heartbeat is told of a deadline.
local limit, ttl_ms = unpack(ARGV)
local expired = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now_ms(), 'LIMIT', 0, limit)) do
  redis.call('ZREM', DEADLINES, id)
  local job = job_of(id)
  if job.state == 'queued' then
    settle(id, job, 'expired', ttl_ms)
    expired[#expired + 1] = id
  end
end
return expired
