-- Gives the housekeeping of the shard to one process at a time, and answers with the note of who has
-- it: a name, and a number that grows with each call of that process. Another process takes over if
-- the number has not grown for long enough by that process's own clock, so no clock of the server
-- decides.
-- seen: the note that has not changed for too long, or ''.
local name, seen = unpack(ARGV)
local note = redis.call('HGET', BOOK, 'janitor')
local holder, number = string.match(note or '', '(%S+) (%d+)')
if holder and holder ~= name and note ~= seen then
  return note
end
note = string.format('%s %d', name, (number or 0) + 1)
redis.call('HDEL', BOOK, 'janitor')
redis.call('HSET', BOOK, 'janitor', note)
return note
