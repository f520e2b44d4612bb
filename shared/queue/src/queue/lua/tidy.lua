-- Removes workers that are gone, their stream consumers, and dead letters as old as their records.
-- A consumer that holds an entry stays, because deleting it would orphan the entry.
local idle_ms = unpack(ARGV)
local ENDS_CHECKED_MAX = 64
lapse()
redis.call('XTRIM', DLQ, 'MINID', now_ms() - DEAD_TTL_MS)
-- A job that ended by a script of an older build left its expected end behind.
for _, lane in ipairs(LANES) do
  for _, id in ipairs(redis.call('ZRANGE', ENDS .. lane, 0, ENDS_CHECKED_MAX - 1)) do
    if get(id, 'state').state ~= 'running' then
      redis.call('ZREM', ENDS .. lane, id)
    end
  end
end
local gone = 0
for _, queue in ipairs({ 'live', 'standard', 'bulk', SUSPECTS }) do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', STREAM .. queue, GROUP)
  for _, consumer in ipairs(consumers.err and {} or consumers) do
    local field = {}
    for i = 1, #consumer, 2 do
      field[consumer[i]] = consumer[i + 1]
    end
    if field.pending == 0 and field.idle > tonumber(idle_ms) and not redis.call('ZSCORE', ALIVE, field.name) then
      redis.call('XGROUP', 'DELCONSUMER', STREAM .. queue, GROUP, field.name)
      gone = gone + 1
    end
  end
end
return gone
