-- Adds one event to a job's stream and wakes its followers. An id that is not above the stream's
-- last adds nothing. Its event was added by a try whose answer was lost, or comes from a worker
-- that lost its lease.
-- KEYS: the stream. codes and codes_field are absent if the event carries no codes.
local stream = KEYS[1]
local id, ttl_ms, events_max, channel, event, codes, codes_field = unpack(ARGV)
-- A write that needs no memory comes first. A full Redis refuses a script by its first write, and
-- the event must still reach the followers.
redis.call('PEXPIRE', stream, ttl_ms)
local add = { 'XADD', stream, 'MAXLEN', '~', events_max, id, 'event', event }
if codes then
  add[#add + 1] = codes_field
  add[#add + 1] = codes
end
local added = redis.pcall(unpack(add))
if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
  return added
end
redis.call('PEXPIRE', stream, ttl_ms)
redis.call('PUBLISH', channel, id)
return 1
