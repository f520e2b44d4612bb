-- Adds one event to a job's stream and wakes its followers. An id that is not above the stream's last adds nothing: it is
-- there already, by a try whose answer was lost, or it is that of a worker which lost its lease.
-- KEYS: the stream. ARGV: id, ttl_ms, events_max, channel, event, and, where there are any, codes and their field's name
local stream = KEYS[1]
-- A write that needs no memory comes first: a Redis that is full refuses a script by its first write, and what is spoken
-- must still be heard.
redis.call('PEXPIRE', stream, ARGV[2])
local add = { 'XADD', stream, 'MAXLEN', '~', ARGV[3], ARGV[1], 'event', ARGV[5] }
if ARGV[6] then
  add[#add + 1] = ARGV[7]
  add[#add + 1] = ARGV[6]
end
local added = redis.pcall(unpack(add))
if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
  return added
end
redis.call('PEXPIRE', stream, ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 1
