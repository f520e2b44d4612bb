-- Sets or removes a mark of an operator in the book: a paused lane, a closed intake. set: '1' or '0'.
-- A full Redis refuses a script by its first write, and removing a field needs no memory.
local name, set = unpack(ARGV)
local changed = redis.call('HDEL', BOOK, name)
if set == '1' then
  redis.call('HSET', BOOK, name, '1')
end
return changed
