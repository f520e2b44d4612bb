-- A dead letter becomes a new job of the same request; the old one stays failed and names it. Repeating it changes nothing.
-- ARGV: id, id of the new job
local id, new = ARGV[1], ARGV[2]
local job = get(id, 'state', 'dead', 'replayed_as', 'spec', 'lane', 'max_frames', 'cost', 'tenant')
if job[3] then
  return job[3]
end
if job[1] ~= 'failed' or not job[2] or not job[4] then
  return ''
end
accept(new, job[5], job[7], job[8], nil, 'spec', job[4], 'max_frames', job[6], 'fingerprint', '')
redis.call('HSET', JOB .. id, 'replayed_as', new)
redis.call('HDEL', JOB .. id, 'spec', 'dead')
redis.call('XDEL', DLQ, job[2])
return new
