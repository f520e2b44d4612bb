-- queued -> running, one job a call, never waiting. Skips entries whose job was cancelled or is gone; having skipped
-- scan_limit of them it answers an empty id, which means: call again.
-- ARGV: owner, lease_ms, scan_limit, promote_limit
local owner, lease_ms = ARGV[1], tonumber(ARGV[2])
promote(tonumber(ARGV[4]))

-- Next undelivered entry of a lane; makes the group from the start of the stream where it is missing.
local function read(stream)
  local read_one = { 'XREADGROUP', 'GROUP', GROUP, owner, 'COUNT', 1, 'STREAMS', stream, '>' }
  local reply = redis.pcall(unpack(read_one))
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'NOGROUP', 1, true) then
      return reply
    end
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    reply = redis.call(unpack(read_one))
  end
  if not reply then
    return nil
  end
  local entry = reply[1][2][1]
  return { entry = entry[1], id = entry[2] and entry[2][2] }
end

local scanned = 0
for _, lane in ipairs(LANES) do
  while true do
    if scanned == tonumber(ARGV[3]) then
      return { '', '0', '', '0' }
    end
    local found = read(STREAM[lane])
    if not found then
      break
    end
    if found.err then
      return found
    end
    scanned = scanned + 1
    local id = found.id
    local job = id and get(id, 'state', 'entry', 'spec', 'created_ms') or {}
    if job[1] == 'queued' and job[2] == found.entry then
      local now = now_ms()
      local attempt = redis.call('HINCRBY', JOB .. id, 'attempt', 1)
      redis.call('HSET', JOB .. id, 'state', 'running', 'owner', owner, 'started_ms', now)
      redis.call('ZADD', LEASES, now + lease_ms, id)
      return { id, tostring(attempt), job[3], tostring(now - job[4]) }
    end
    drop_entry(lane, found.entry)
  end
end
return false
