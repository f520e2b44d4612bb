-- Replaces the events of an ended job by its terminal event, which then names the archive of the
-- others. Does nothing if the stream does not end with that event, or was archived before.
-- KEYS: the stream.
local stream = KEYS[1]
local id, ttl_ms, field, archive = unpack(ARGV)
local tail = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
if not tail or tail[1] ~= id then
  return 0
end
local fields = tail[2]
for i = 1, #fields, 2 do
  if fields[i] == field then
    return 0
  end
end
fields[#fields + 1] = field
fields[#fields + 1] = archive
-- A full Redis refuses a script by its first write, and this one needs no memory.
redis.call('UNLINK', stream)
redis.call('XADD', stream, id, unpack(fields))
redis.call('PEXPIRE', stream, ttl_ms)
return 1
