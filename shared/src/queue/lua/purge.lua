-- Takes a job out of the dead letters, and its payload with it. The record stays until it expires.
-- ARGV: id
local entry = get(ARGV[1], 'dead')[1]
if not entry then
  return 0
end
redis.call('HDEL', JOB .. ARGV[1], 'spec', 'dead')
redis.call('XDEL', DLQ, entry)
return 1
