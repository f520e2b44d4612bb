-- nothing -> queued. Idempotent on the job's id: a second call changes nothing and says so. A
-- second call with another request's fingerprint is a conflict.
-- 0 means none for expires_in_ms, deadline_ms, tenant_open_max, wait_max_ms, the bounds on bytes and
-- tenant_rate_max.
local id, lane, spec, max_frames, base, kind, tenant, fingerprint, expires_in_ms, deadline_ms, lane_depth_max,
  tenant_open_max, wait_max_ms, lane_bytes_max, tenant_bytes_max, tenant_rate_max, model, warnings =
  unpack(ARGV)
local known = get(id, 'state', 'fingerprint')
if known.state then
  return { known.fingerprint == fingerprint and 'exists' or 'conflict', known.state, '' }
end
if redis.call('HGET', BOOK, 'closed') then
  return { 'closed', '', '' }
end
-- Jobs that wait outside of their lane are bounded together with all others.
local depth = redis.call('XLEN', STREAM .. lane)
local depth_max = tonumber(lane_depth_max)
if depth >= depth_max or redis.call('SCARD', OPEN) >= #LANES * depth_max then
  return { 'full', tostring(depth), '' }
end
local open_max = tonumber(tenant_open_max)
if open_max > 0 then
  local open = tonumber(redis.call('HGET', TENANTS, 'open:' .. tenant) or 0)
  if open >= open_max then
    return { 'tenant', tostring(open), '' }
  end
end
local function bytes_full(key, field, bytes_max)
  local held = tonumber(redis.call('HGET', key, field) or 0)
  return bytes_max > 0 and held + #spec > bytes_max and tostring(held)
end
local held = bytes_full(BOOK, 'bytes:' .. lane, tonumber(lane_bytes_max))
if held then
  return { 'lane_bytes', held, '' }
end
held = bytes_full(TENANTS, 'bytes:' .. tenant, tonumber(tenant_bytes_max))
if held then
  return { 'tenant_bytes', held, '' }
end
local rate = tonumber(tenant_rate_max)
local pause = rate > 0 and rate_wait(tenant, rate) or 0
if pause > 0 then
  return { 'rate', tostring(pause), '' }
end
local now, wait_max = now_ms(), tonumber(wait_max_ms)
local wait, paused = predicted_wait(lane)
local expires_in, deadline = tonumber(expires_in_ms), tonumber(deadline_ms)
local expires = expires_in > 0 and now + expires_in or nil
if deadline > 0 then
  deadline = deadline + ahead_ms()
  expires = math.min(expires or deadline, deadline)
end
-- A job that cannot begin in time is refused now rather than expired later.
if expires then
  local left = math.max(1, expires - now)
  -- The deadline comes nearer while the backlog shrinks: no later try would do better.
  if wait and wait > left and expires == deadline then
    return { 'late', tostring(wait), '' }
  end
  wait_max = wait_max > 0 and math.min(wait_max, left) or left
end
if wait and wait_max > 0 and wait > wait_max then
  return { 'busy', tostring(wait), tostring(wait_max) }
end
local fields = { 'max_frames', max_frames, 'fingerprint', fingerprint, 'base', base, 'kind', kind }
if model ~= '' then
  fields[#fields + 1] = 'model'
  fields[#fields + 1] = model
end
if warnings ~= '' then
  fields[#fields + 1] = 'warnings'
  fields[#fields + 1] = warnings
end
if deadline > 0 then
  fields[#fields + 1] = 'deadline_ms'
  fields[#fields + 1] = deadline
end
accept(id, lane, corrected(lane, kind, base), tenant, expires, spec, unpack(fields))
if rate > 0 then
  spend_rate(tenant, rate)
end
return { paused and 'paused' or 'accepted', wait and tostring(wait) or '', '' }
