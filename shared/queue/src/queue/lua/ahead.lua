-- Counts the jobs of its stream that a queued job still waits behind; -1 if it does not wait there.
local id = unpack(ARGV)
local job = get(id, 'state', 'queue')
return job.state == 'queued' and job.queue and redis.call('ZRANK', WAITS .. job.queue, id) or -1
