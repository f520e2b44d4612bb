-- Removes a job from the dead letters, and its payload with it. The record stays until it expires.
local id = unpack(ARGV)
local entry = get(id, 'dead').dead
if not entry then
  return 0
end
redis.call('HDEL', JOB .. id, 'spec', 'dead')
redis.call('XDEL', DLQ, entry)
return 1
