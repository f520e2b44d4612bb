-- Lists everything that a shard holds, as lines of text, for comparison with the model.
-- KEYS: the shard's root. ARGV: ids of all jobs there ever were.
local ROOT = KEYS[1]
local jobs, lines, places = {}, {}, {}

for _, id in ipairs(ARGV) do
  local flat, job = redis.call('HGETALL', ROOT .. 'job:' .. id), {}
  for i = 1, #flat, 2 do
    job[flat[i]] = flat[i + 1]
  end
  jobs[id], places[id] = job, {}
end

local function open(id)
  local job = jobs[id]
  return job and (job.state == 'queued' or job.state == 'running')
end

local function put(id, place)
  if open(id) then
    table.insert(places[id], place)
  end
end

for _, queue in ipairs({ 'live', 'standard', 'bulk', 'suspects' }) do
  local stream = ROOT .. 's:' .. queue
  local last, owners, told = '0-0', {}, {}
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  if not groups.err and groups[1] then
    last = groups[1][8]
    for _, pending in ipairs(redis.call('XPENDING', stream, 'workers', '-', '+', 10000)) do
      owners[pending[1]] = pending[2]
    end
  end
  local undelivered = {}
  for _, entry in ipairs(redis.call('XRANGE', stream, '(' .. last, '+')) do
    undelivered[entry[1]] = true
  end
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
    local at, id = entry[1], entry[2][2]
    local owner = owners[at] or (undelivered[at] and '' or '?')
    table.insert(told, id .. (owner == '' and '' or '@' .. owner))
    local job = jobs[id] or {}
    if job.queue == queue and job.entry == at then
      put(id, (owner == '' and 'waits' or 'runs for ' .. owner) .. ' in ' .. queue)
    end
  end
  table.insert(lines, 'stream ' .. queue .. ': ' .. table.concat(told, ' '))
  local waits = redis.call('ZRANGE', ROOT .. 'waits:' .. queue, 0, -1)
  table.insert(lines, 'waits ' .. queue .. ': ' .. table.concat(waits, ' '))
end

for _, name in ipairs({ 'delayed', 'deadlines', 'leases', 'open' }) do
  local ids = name == 'open' and redis.call('SMEMBERS', ROOT .. name) or redis.call('ZRANGE', ROOT .. name, 0, -1)
  table.sort(ids)
  for _, id in ipairs(ids) do
    if name == 'delayed' or name == 'leases' then
      put(id, name)
    end
  end
  table.insert(lines, name .. ': ' .. table.concat(ids, ' '))
end

for _, lane in ipairs({ 'live', 'standard', 'bulk' }) do
  local ids = redis.call('ZRANGE', ROOT .. 'ends:' .. lane, 0, -1)
  table.sort(ids)
  table.insert(lines, 'ends ' .. lane .. ': ' .. table.concat(ids, ' '))
end

local parked = redis.call('LRANGE', ROOT .. 'parked:default', 0, -1)
for _, id in ipairs(parked) do
  if jobs[id] and jobs[id].parked then
    put(id, 'parked')
  end
end
table.insert(lines, 'parked: ' .. table.concat(parked, ' '))

local dead = {}
for _, entry in ipairs(redis.call('XRANGE', ROOT .. 'dlq', '-', '+')) do
  table.insert(dead, entry[2][2])
end
table.insert(lines, 'dead letters: ' .. table.concat(dead, ' '))

for _, what in ipairs({ 'open', 'running' }) do
  for _, tenant in ipairs({ 'default', 'other' }) do
    local name = what .. ':' .. tenant
    table.insert(lines, 'tenants ' .. name .. ': ' .. (redis.call('HGET', ROOT .. 'tenants', name) or '0'))
  end
end
local numbers = { 'suspects' }
for _, lane in ipairs({ 'live', 'standard', 'bulk' }) do
  table.insert(numbers, 'waiting:' .. lane)
  table.insert(numbers, 'running:' .. lane)
end
for _, state in ipairs({ 'succeeded', 'failed', 'cancelled', 'expired' }) do
  table.insert(numbers, 'ended:' .. state)
end
for _, name in ipairs(numbers) do
  table.insert(lines, 'book ' .. name .. ': ' .. (redis.call('HGET', ROOT .. 'book', name) or '0'))
end

-- The model does not know how long a payload is. The counts must be those of the open jobs.
local function bytes_of(field, value)
  local bytes = 0
  for id, job in pairs(jobs) do
    if open(id) and job[field] == value then
      bytes = bytes + #job.spec
    end
  end
  return bytes
end
for _, lane in ipairs({ 'live', 'standard', 'bulk' }) do
  local counted = tonumber(redis.call('HGET', ROOT .. 'book', 'bytes:' .. lane) or 0)
  table.insert(lines, 'book bytes:' .. lane .. ' off by ' .. (counted - bytes_of('lane', lane)))
end
for _, tenant in ipairs({ 'default', 'other' }) do
  local counted = tonumber(redis.call('HGET', ROOT .. 'tenants', 'bytes:' .. tenant) or 0)
  table.insert(lines, 'tenants bytes:' .. tenant .. ' off by ' .. (counted - bytes_of('tenant', tenant)))
end

for _, id in ipairs(ARGV) do
  local job = jobs[id]
  local words = { job.state or 'missing', 'lane=' .. (job.lane or ''), 'tenant=' .. (job.tenant or '') }
  for _, name in ipairs({ 'attempt', 'failures', 'crashes', 'owner', 'replayed_as' }) do
    table.insert(words, name .. '=' .. (job[name] or ''))
  end
  for _, name in ipairs({ 'suspect', 'alone', 'cancel', 'spec', 'dead' }) do
    table.insert(words, job[name] and name or '-')
  end
  table.insert(words, 'receipt=' .. (job.receipt and cjson.decode(job.receipt).attempt or ''))
  table.insert(words, 'failure=' .. (job.failure and cjson.decode(job.failure).class or ''))
  table.insert(words, 'expires=' .. (redis.call('PTTL', ROOT .. 'job:' .. id) > 0 and 'yes' or 'no'))
  table.sort(places[id])
  table.insert(words, '(' .. table.concat(places[id], ' + ') .. ')')
  table.insert(lines, 'job ' .. id .. ': ' .. table.concat(words, ' '))
end
return lines
