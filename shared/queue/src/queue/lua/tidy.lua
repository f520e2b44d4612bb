-- Removes workers that are gone, their consumers of one stream, dead letters as old as their records,
-- and places in line of jobs that were delivered (claims of an earlier version left them).
-- A consumer that holds an entry stays, because deleting it would orphan the entry.
local queue, idle_ms, limit = unpack(ARGV)
local ENDS_CHECKED_MAX = 64
lapse()
redis.call('XTRIM', DLQ, 'MINID', now_ms() - DEAD_TTL_MS)

-- Returns what XINFO tells of each group or consumer by name; nothing if there is no stream or group.
local function information(...)
  local told = redis.pcall('XINFO', ...)
  local all = {}
  for i, fields in ipairs(told.err and {} or told) do
    all[i] = {}
    for at = 1, #fields, 2 do
      all[i][fields[at]] = fields[at + 1]
    end
  end
  return all
end

for _, group in ipairs(information('GROUPS', STREAM .. queue)) do
  local delivered = place_of(group['last-delivered-id'])
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', WAITS .. queue, '-inf', delivered, 'LIMIT', 0, limit)) do
    redis.call('ZREM', WAITS .. queue, id)
  end
end
-- A job that ended by a script of an older build left its expected end behind.
for _, id in ipairs(redis.call('ZRANGE', ENDS .. queue, 0, ENDS_CHECKED_MAX - 1)) do
  if get(id, 'state').state ~= 'running' then
    redis.call('ZREM', ENDS .. queue, id)
  end
end
local gone = 0
for _, consumer in ipairs(information('CONSUMERS', STREAM .. queue, GROUP)) do
  local idle = consumer.idle > tonumber(idle_ms)
  if consumer.pending == 0 and idle and not redis.call('ZSCORE', ALIVE, consumer.name) then
    redis.call('XGROUP', 'DELCONSUMER', STREAM .. queue, GROUP, consumer.name)
    gone = gone + 1
  end
end
return gone
