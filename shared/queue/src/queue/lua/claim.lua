-- queued -> running, one job a call, never waiting. Lanes share by weight (start-time fair queueing
-- over expected frames). A lane that was passed over for too long goes first. Entries of ended jobs
-- are removed.
--
-- Arguments:
-- - idle: '1' if the worker runs nothing
-- - live, standard, bulk: '1' if the worker may take a job of the lane
-- - number: names this claim alone
-- - repeated: '1' if the answer to this claim may have been lost
-- - busy_ms: time until the worker will likely run nothing
--
-- Answers:
-- - nothing: there is no job to take
-- - {'job', id, attempt, spec, waited_ms, alone}
-- - {'expired', id}
-- - {'foreign', id, model}: the job asked for a model that is not the worker's, and has failed
-- - {'again'}: scan_limit was reached
-- - {'hold'}: the worker must take nothing until it is idle, from other shards neither
local owner, build, lease_ms, scan_limit, promote_limit, idle, live, standard, bulk, tenant_running_max, warden_ms,
  ttl_ms, number, repeated, busy_ms, sooner_ms, model = unpack(ARGV)
lease_ms, scan_limit, tenant_running_max = tonumber(lease_ms), tonumber(scan_limit), tonumber(tenant_running_max)
idle = idle == '1'
local accepts = { live = live == '1', standard = standard == '1', bulk = bulk == '1' }
local now = now_ms()

local function answer_of(id, attempt, spec, created, alone)
  return { 'job', id, tostring(attempt), spec, tostring(math.max(0, now - created)), alone and '1' or '0' }
end

-- If the worker did not get the first answer to this claim, it gets the same again, with a new
-- lease.
if repeated == '1' then
  local last_number, id = string.match(redis.call('HGET', WORKERS, 'claim:' .. owner) or '', '(%S+) (%S+)')
  local job = last_number == number and job_of(id) or {}
  if job.state == 'running' and job.owner == owner then
    redis.call('ZADD', LEASES, 'XX', now + lease_ms, id)
    local rest = get(id, 'spec', 'created_ms')
    return answer_of(id, job.attempt, rest.spec, rest.created_ms, job.alone)
  end
end
promote(tonumber(promote_limit), tenant_running_max)

-- Longest time that a lane with work may be passed over.
local PATIENCE_MS = { live = 1000, standard = 5000, bulk = 20000 }

-- Returns the next undelivered entry of a stream. Creates the group, from the stream's start, if it
-- is missing.
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

local function begin(id, job, alone)
  local attempt = job.attempt + 1
  redis.call('HSET', JOB .. id, 'state', 'running', 'owner', owner, 'attempt', attempt, 'build', build, 'started_ms', now)
  redis.call('HSET', WORKERS, 'claim:' .. owner, number .. ' ' .. id)
  if alone then
    redis.call('HSET', JOB .. id, 'alone', '1')
  end
  redis.call('ZADD', LEASES, now + lease_ms, id)
  -- Without a known rate the job counts as late from its beginning: see ends_here.
  redis.call('ZADD', ENDS .. job.lane, now + math.ceil(job.cost * (frame_ms(owner) or 0)), id)
  -- The wait is over; from now on only a deadline ends the job.
  if job.expires_ms then
    redis.call('ZREM', DEADLINES, id)
    if job.deadline_ms then
      redis.call('HSET', JOB .. id, 'expires_ms', job.deadline_ms)
    else
      redis.call('HDEL', JOB .. id, 'expires_ms')
    end
  end
  count_waiting(job.lane, job.cost, -1)
  redis.call('HINCRBY', BOOK, 'running:' .. job.lane, job.cost)
  count('running:', job.tenant, 1)
  return answer_of(id, attempt, job.spec, job.created_ms, alone)
end

-- Turns a delivered entry into an answer. Returns nothing if its job has ended, is somewhere else,
-- or waits for its tenant.
local function take(queue, found)
  local id = found.id
  local job = id and get(id, 'state', 'entry', 'spec', 'created_ms', 'lane', 'cost', 'tenant', 'expires_ms', 'owner',
    'deadline_ms', 'attempt', 'model') or {}
  if job.state == 'running' and job.entry == found.entry then
    -- The group was deleted by hand and created again: the entry goes back to the worker that runs
    -- the job.
    redis.call('XCLAIM', STREAM .. queue, GROUP, job.owner, 0, found.entry, 'JUSTID')
    return nil
  end
  if queue == SUSPECTS then
    redis.call('HINCRBY', BOOK, 'suspects', -1)
  end
  if job.state ~= 'queued' or job.entry == found.entry then
    redis.call('ZREM', WAITS .. queue, id or '')
  end
  if job.state ~= 'queued' or job.entry ~= found.entry then
    drop_entry(queue, found.entry)
    return nil
  end
  if job.expires_ms and tonumber(job.expires_ms) <= now then
    drop_entry(queue, found.entry)
    settle(id, job, 'expired', ttl_ms)
    return { 'expired', id }
  end
  -- All processes agree on a model, so no worker will come for the job. A replay takes the model of
  -- the day.
  if model ~= '' and job.model and job.model ~= model then
    drop_entry(queue, found.entry)
    local message = 'the job asked for model ' .. job.model .. ', and the fleet runs ' .. model
    redis.call('HSET', JOB .. id, 'failure', cjson.encode({ class = 'resource', message = message }))
    settle(id, job, 'failed', ttl_ms)
    return { 'foreign', id, job.model }
  end
  if tenant_running_max > 0
    and tonumber(redis.call('HGET', TENANTS, 'running:' .. job.tenant) or 0) >= tenant_running_max then
    drop_entry(queue, found.entry)
    redis.call('HDEL', JOB .. id, 'queue', 'entry')
    redis.call('HSET', JOB .. id, 'parked', '1')
    redis.call('RPUSH', PARKED .. ':' .. job.tenant, id)
    redis.call('SADD', PARKED, job.tenant)
    return nil
  end
  return begin(id, job, queue == SUSPECTS), job
end

local scanned = 0
local function serve(queue)
  while true do
    if scanned == scan_limit then
      return { 'again' }
    end
    local found = read(STREAM .. queue)
    if not found or found.err then
      return found
    end
    scanned = scanned + 1
    local answer, job = take(queue, found)
    if answer then
      return answer, job
    end
  end
end

local book = fields_of(BOOK, 'suspects', 'tag', 'tag:live', 'tag:standard', 'tag:bulk',
  'served:live', 'served:standard', 'served:bulk', 'paused:live', 'paused:standard', 'paused:bulk')

-- Suspects run alone, and an idle worker takes one at once. If no worker is idle, one worker, the
-- warden, takes nothing more until it is. The warden is the first worker to ask, until one asks
-- that will be idle sooner_ms before it.
if tonumber(book.suspects or 0) > 0 then
  local warden, idle_at, until_ms = string.match(redis.call('GET', WARDEN) or '', '(%S+) (%d+) (%d+)')
  if warden and tonumber(until_ms) <= now then
    warden = nil
  end
  if idle then
    local answer = serve(SUSPECTS)
    if answer then
      -- The next suspect needs a worker of its own.
      if warden == owner then
        redis.call('DEL', WARDEN)
      end
      return answer
    end
    redis.call('HDEL', BOOK, 'suspects')
  else
    local mine = now + tonumber(busy_ms)
    if not warden or warden == owner or mine + tonumber(sooner_ms) < tonumber(idle_at) then
      redis.call('DEL', WARDEN)
      redis.call('SET', WARDEN, owner .. string.format(' %d %d', mine, now + tonumber(warden_ms)), 'PX', warden_ms)
      return { 'hold' }
    end
  end
end

local clock, order = tonumber(book.tag or 0), {}
for i, lane in ipairs(LANES) do
  if not book['paused:' .. lane] and accepts[lane] then
    local served = book['served:' .. lane]
    local overdue = served and now - served > PATIENCE_MS[lane]
    order[#order + 1] = { lane = lane, tag = math.max(clock, tonumber(book['tag:' .. lane] or 0)), served = served,
      overdue = overdue, rank = i }
  end
end
table.sort(order, function(a, b)
  if a.overdue ~= b.overdue then
    return a.overdue or false
  end
  if a.tag ~= b.tag then
    return a.tag < b.tag
  end
  return a.rank < b.rank
end)
for place, turn in ipairs(order) do
  local answer, job = serve(turn.lane)
  if job then
    local notes = { 'tag', turn.overdue and clock or turn.tag,
      'tag:' .. turn.lane, turn.tag + math.ceil(job.cost * 1000 / WEIGHT[turn.lane]), 'served:' .. turn.lane, now }
    for later = place + 1, #order do
      if not order[later].served then
        notes[#notes + 1] = 'served:' .. order[later].lane
        notes[#notes + 1] = now
      end
    end
    redis.call('HSET', BOOK, unpack(notes))
  end
  if answer then
    return answer
  end
  -- An empty lane has not been passed over.
  if turn.served then
    redis.call('HDEL', BOOK, 'served:' .. turn.lane)
  end
end
return false
