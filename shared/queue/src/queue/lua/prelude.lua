-- Put before every script: the keys by name, and the functions that several transitions share.
--
-- A job's hash:
-- - request: spec, bytes (of spec), lane, tenant, max_frames, fingerprint (of the request), model (that
--   it asks for), warnings (about the request, as JSON)
-- - work: base (estimated cost in frames, nothing measured), kind (jobs that take alike), cost (base,
--   corrected by what jobs of the kind took)
-- - place: state, queue and entry (its stream and its id there), parked (waits for its tenant)
-- - attempts: attempt (claims so far), failures, crashes, owner, build
-- - suspects: suspect (a worker died with it), alone (this attempt runs with nothing beside it)
-- - end: cancel, receipt, failure, dead (its entry among the dead letters), replayed_as
-- - times: created_ms, started_ms, finished_ms, expires_ms, deadline_ms
--
-- The book, a hash of counters and marks:
-- - waiting:<lane> and running:<lane>: cost of the jobs, in frames
-- - sizes:<lane>:<n>: waiting jobs whose cost is 2^n frames or more, and less than twice that
-- - bytes:<lane>: bytes of the requests of open jobs
-- - served:<lane>: when the lane was last served, or first passed over since it was empty
-- - tag:<lane> and tag: virtual times of the fair queue
-- - paused:<lane>, closed: marks of an operator
-- - suspects: number of those that wait
-- - capacity: frames a second of the whole fleet, thousandths
-- - slots:<lane>: slots of the fleet that a job of the lane may take
-- - slots:apart: those of slots:bulk that belong to workers of bulk jobs alone
-- - rated: slots of the workers that have told their rate
-- - others:<lane>: the lane on other shards, as workers last reported: see lane_now, admission.lua
-- - ended:<state>: number of jobs
-- - reaped_ms: when the leases were last checked
-- - check: the cursor at which the check of the open jobs goes on; checked_ms: when it began
-- - ahead_ms: by how much the time of the book is ahead of the server's clock
-- - janitor: the process that does the housekeeping, and a number that grows while it does
-- - grace_until_ms: when leases that ran out during an absence of Redis are lost
--
-- waits:<stream>: sorted set of the jobs that wait in a stream, in the order of their entries.
--
-- last_ends: list of the ends of the last LAST_ENDS_MAX jobs, newest first, each as JSON: see note_end.
--
-- rate:<tenant>: when the tenant may again create as many jobs at once as in a whole minute.
--
-- Words:
-- - warden: the one worker that empties itself for suspects while none is idle. Its key holds its
--   name, when it will likely be empty, and until when it keeps the role.
-- - token: an entry of a stream's wake list, which wakes one idle worker that serves the stream.
-- - parked: a job that waits while its tenant runs as many as it may.
-- - end: the time at which a running job will likely leave its slot.
--
-- Every script but enqueue, replay, reconcile and a repeated claim begins its writes with one that
-- needs no memory. A full Redis refuses a script by its first write, and must still be able to
-- finish, take back and cancel jobs.
local ROOT = KEYS[1]
local DELAYED, LEASES, OPEN, DEADLINES = ROOT .. 'delayed', ROOT .. 'leases', ROOT .. 'open', ROOT .. 'deadlines'
local WAKE, DLQ, BOOK, TENANTS = ROOT .. 'wake:', ROOT .. 'dlq', ROOT .. 'book', ROOT .. 'tenants'
local WORKERS, ALIVE, WARDEN, PARKED = ROOT .. 'workers', ROOT .. 'alive', ROOT .. 'warden', ROOT .. 'parked'
local WAITS, RATE = ROOT .. 'waits:', ROOT .. 'rate:'
local STREAM, JOB = ROOT .. 's:', ROOT .. 'job:'
local ENDS, LAST_ENDS = ROOT .. 'ends:', ROOT .. 'last_ends'
local LANES = { 'live', 'standard', 'bulk' }
local WEIGHT = { live = 16, standard = 4, bulk = 1 }
local SUSPECTS = 'suspects'
local GROUP = 'workers'
local WAKE_TOKENS_MAX = 64
local UNPARK_SCAN_MAX = 64
local DEAD_LETTERS_MAX = 100000
local LAST_ENDS_MAX = 100
local DEAD_TTL_MS = 7 * 24 * 60 * 60 * 1000
local RATE_WINDOW_MS = 60 * 1000

-- Reads named fields of a hash into a table by name; an absent field is false.
local function fields_of(key, ...)
  local values, named = redis.call('HMGET', key, ...), {}
  for i, name in ipairs({ ... }) do
    named[name] = values[i]
  end
  return named
end

-- Time of the book at this call, read once: the server's clock, and never before the last check of
-- the leases. If the server's clock is set back, this time stands still until the next check, which
-- notes the difference (ahead_ms), and then goes on.
local moment, server_clock
local function now_ms()
  if not moment then
    local time = redis.call('TIME')
    local book = fields_of(BOOK, 'reaped_ms', 'ahead_ms')
    server_clock = time[1] * 1000 + math.floor(time[2] / 1000)
    moment = math.max(server_clock + (book.ahead_ms or 0), tonumber(book.reaped_ms or 0))
  end
  return moment
end

-- Returns by how much the time of the book is ahead of the server's clock.
local function ahead_ms()
  return now_ms() - server_clock
end

-- Reads named fields of a job's hash.
local function get(id, ...)
  return fields_of(JOB .. id, ...)
end

-- Reads the fields that the transitions need.
local function job_of(id)
  return get(id, 'state', 'owner', 'attempt', 'queue', 'entry', 'lane', 'cost', 'tenant', 'cancel', 'alone')
end

-- Returns the job if this attempt of this worker still holds its lease, otherwise nothing.
local function held(id, owner, attempt)
  local job = job_of(id)
  if job.state == 'running' and job.owner == owner and job.attempt == attempt then
    return job
  end
end

-- Counts a tenant's open ('open:') or running ('running:') jobs, or the bytes of the requests of
-- open jobs ('bytes:'). A count of zero is deleted, so it takes no memory.
local function count(what, tenant, by)
  if redis.call('HINCRBY', TENANTS, what .. tenant, by) <= 0 then
    redis.call('HDEL', TENANTS, what .. tenant)
  end
end

-- Adds a job to those that wait in its lane; with a sign of -1, takes it from them.
local function count_waiting(lane, cost, sign)
  redis.call('HINCRBY', BOOK, 'waiting:' .. lane, sign * cost)
  redis.call('HINCRBY', BOOK, 'sizes:' .. lane .. ':' .. math.floor(math.log(cost) / math.log(2) + 1e-9), sign)
end

-- Returns the place of a stream's entry among all entries: a number that grows with the entry's id.
local function place_of(entry)
  local ms, sequence = string.match(entry, '(%d+)-(%d+)')
  return ms * 2048 + sequence
end

-- Puts a queued job into a stream, records that and further fields in its hash, and wakes one idle
-- worker.
local function push_into(queue, id, ...)
  local entry = redis.call('XADD', STREAM .. queue, '*', 'id', id)
  redis.call('HSET', JOB .. id, 'queue', queue, 'entry', entry, ...)
  redis.call('ZADD', WAITS .. queue, place_of(entry), id)
  if queue == SUSPECTS then
    redis.call('HINCRBY', BOOK, 'suspects', 1)
  end
  if redis.call('LPUSH', WAKE .. queue, '1') > WAKE_TOKENS_MAX then
    redis.call('LTRIM', WAKE .. queue, 0, WAKE_TOKENS_MAX - 1)
  end
end

-- Puts a queued job into its stream. A suspect waits apart from its lane.
local function push(id)
  local job = get(id, 'lane', 'suspect')
  push_into(job.suspect and SUSPECTS or job.lane, id)
end

-- Puts the next parked job of a tenant into its stream. Returns false if there is none among the
-- next few.
local function unpark(tenant)
  for _ = 1, UNPARK_SCAN_MAX do
    local id = redis.call('LPOP', PARKED .. ':' .. tenant)
    if not id then
      redis.call('SREM', PARKED, tenant)
      return false
    end
    local job = get(id, 'state', 'parked')
    if job.state == 'queued' and job.parked then
      redis.call('HDEL', JOB .. id, 'parked')
      push(id)
      return true
    end
  end
  return false
end

-- Removes a delivered entry from its stream, so that the stream's length stays waiting + running.
local function drop_entry(queue, entry)
  redis.call('XACK', STREAM .. queue, GROUP, entry)
  redis.call('XDEL', STREAM .. queue, entry)
end

-- First step of every way out of running. The job's tenant then has room for another one.
local function leave_running(id, job)
  drop_entry(job.queue, job.entry)
  redis.call('ZREM', LEASES, id)
  redis.call('ZREM', ENDS .. job.lane, id)
  count('running:', job.tenant, -1)
  if redis.call('EXISTS', PARKED .. ':' .. job.tenant) == 1 then
    unpark(job.tenant)
  end
end

-- running -> queued: now, or when the delay is over.
local function requeue(id, job, delay_ms)
  redis.call('HSET', JOB .. id, 'state', 'queued')
  redis.call('HDEL', JOB .. id, 'owner', 'queue', 'entry', 'alone')
  redis.call('HINCRBY', BOOK, 'running:' .. job.lane, -job.cost)
  count_waiting(job.lane, job.cost, 1)
  local expires = get(id, 'expires_ms').expires_ms
  if expires then
    redis.call('ZADD', DEADLINES, expires, id)
  end
  if delay_ms > 0 then
    redis.call('ZADD', DELAYED, now_ms() + delay_ms, id)
  else
    push(id)
  end
end

-- Returns the failure of a job; an empty table if there is none, or none that can be read.
local function failure_of(id)
  local read, failure = pcall(cjson.decode, get(id, 'failure').failure or '')
  return read and type(failure) == 'table' and failure or {}
end

-- Adds a failed job to the dead letters, unless its own request was at fault.
local function bury(id)
  local job = get(id, 'lane', 'tenant', 'attempt', 'failures', 'crashes', 'owner', 'build')
  local failure = failure_of(id)
  if failure.class == 'invalid' or failure.class == 'deadline' then
    return false
  end
  local entry = redis.call('XADD', DLQ, 'MAXLEN', '~', DEAD_LETTERS_MAX, '*', 'id', id, 'class', failure.class or '',
    'error', failure.message or '', 'lane', job.lane, 'tenant', job.tenant, 'attempt', job.attempt,
    'failures', job.failures, 'crashes', job.crashes, 'worker', job.owner or '', 'build', job.build or '')
  redis.call('HSET', JOB .. id, 'dead', entry)
  return true
end

-- Removes the entry of a job that ends while it waits in a stream. Otherwise entries of jobs that are
-- created and cancelled would pile up while no worker reads the stream.
local function withdraw(id, job)
  drop_entry(job.queue, job.entry)
  redis.call('ZREM', WAITS .. job.queue, id)
  if job.queue == SUSPECTS then
    redis.call('HINCRBY', BOOK, 'suspects', -1)
  end
end

-- Notes how a job ended in the list of the last ends. An operator reads it, and no script. job.reason:
-- why the speech of a success ended. The reason of a failure is its class.
local function note_end(id, job, state)
  local started = job.owner and get(id, 'started_ms').started_ms
  local reason = state == 'succeeded' and job.reason or state == 'failed' and failure_of(id).class or nil
  local note = cjson.encode({ id = id, at_ms = now_ms(), state = state, lane = job.lane, tenant = job.tenant,
    attempt = tonumber(job.attempt), worker = job.owner or nil, ran_ms = started and now_ms() - started or nil,
    reason = reason })
  if redis.call('LPUSH', LAST_ENDS, note) > LAST_ENDS_MAX then
    redis.call('LTRIM', LAST_ENDS, 0, LAST_ENDS_MAX - 1)
  end
end

-- queued, or out of running, -> a final state, with further fields of the record. The record stays
-- for ttl_ms, that of a dead letter longer. A payload that cannot be needed again is deleted at
-- once.
local function settle(id, job, state, ttl_ms, ...)
  redis.call('SREM', OPEN, id)
  if job.state == 'queued' then
    redis.call('ZREM', DELAYED, id)
    redis.call('ZREM', DEADLINES, id)
    if job.queue then
      withdraw(id, job)
    end
    count_waiting(job.lane, job.cost, -1)
  else
    redis.call('HINCRBY', BOOK, 'running:' .. job.lane, -job.cost)
  end
  redis.call('HINCRBY', BOOK, 'ended:' .. state, 1)
  count('open:', job.tenant, -1)
  local bytes = get(id, 'bytes').bytes
  if bytes then
    redis.call('HINCRBY', BOOK, 'bytes:' .. job.lane, -bytes)
    count('bytes:', job.tenant, -bytes)
  end
  redis.call('HSET', JOB .. id, 'state', state, 'finished_ms', now_ms(), ...)
  note_end(id, job, state)
  if state == 'failed' and bury(id) then
    ttl_ms = DEAD_TTL_MS
    redis.call('HDEL', JOB .. id, 'queue', 'entry', 'alone')
  else
    redis.call('HDEL', JOB .. id, 'queue', 'entry', 'alone', 'spec')
  end
  redis.call('PEXPIRE', JOB .. id, ttl_ms)
end

-- Requeues a job after a failed or lost attempt while its budget of tries lasts; otherwise fails
-- it.
local function again_or_fail(id, job, delay_ms, budget, ttl_ms)
  if job.cancel then
    settle(id, job, 'cancelled', ttl_ms)
    return 'cancelled'
  end
  local spent = get(id, 'failures', 'crashes')
  if spent.failures + spent.crashes >= budget then
    settle(id, job, 'failed', ttl_ms)
    return 'failed'
  end
  requeue(id, job, delay_ms)
  return 'queued'
end

-- Assigns the blame for a worker that died with this job. If the job ran alone, the crash counts
-- against it. Otherwise all jobs of the worker are suspects, which run again one by one, and
-- nothing counts against them.
local function blame(id, job)
  if job.alone then
    redis.call('HINCRBY', JOB .. id, 'crashes', 1)
  else
    redis.call('HSET', JOB .. id, 'suspect', '1')
  end
end

-- nothing -> queued, with further fields of the record.
local function accept(id, lane, cost, tenant, expires_ms, spec, ...)
  local now = now_ms()
  push_into(lane, id, 'state', 'queued', 'created_ms', now, 'attempt', 0, 'failures', 0, 'crashes', 0, 'lane', lane,
    'cost', cost, 'tenant', tenant, 'spec', spec, 'bytes', #spec, ...)
  redis.call('SADD', OPEN, id)
  count_waiting(lane, cost, 1)
  redis.call('HINCRBY', BOOK, 'bytes:' .. lane, #spec)
  count('open:', tenant, 1)
  count('bytes:', tenant, #spec)
  if expires_ms then
    redis.call('HSET', JOB .. id, 'expires_ms', expires_ms)
    redis.call('ZADD', DEADLINES, expires_ms, id)
  end
end

-- Moves due retries into their streams, at most `limit` of them, and one parked job of a tenant
-- that has room.
local function promote(limit, tenant_running_max)
  local moved = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now_ms(), 'LIMIT', 0, limit)) do
    redis.call('ZREM', DELAYED, id)
    if get(id, 'state').state == 'queued' then
      push(id)
      moved = moved + 1
    end
  end
  local tenant = redis.call('SRANDMEMBER', PARKED)
  if tenant then
    local running = tonumber(redis.call('HGET', TENANTS, 'running:' .. tenant) or 0)
    if (tenant_running_max == 0 or running < tenant_running_max) and unpark(tenant) then
      moved = moved + 1
    end
  end
  return moved
end

-- Adds a worker's rate and slots to the fleet's; with a sign of -1, takes them from it.
local function count_worker(name, sign)
  local mine = redis.call('HMGET', WORKERS, 'capacity:' .. name, 'slots:' .. name)
  local numbers, place, most = { capacity = tonumber(mine[1] or 0) }, 0, 0
  for slots in string.gmatch(mine[2] or '', '%d+') do
    place = place + 1
    numbers['slots:' .. LANES[place]] = tonumber(slots)
    most = math.max(most, tonumber(slots))
  end
  numbers.rated = numbers.capacity > 0 and most or 0
  numbers['slots:apart'] = numbers['slots:live'] == 0 and numbers['slots:bulk'] or 0
  for _, field in ipairs({ 'capacity', 'rated', 'slots:live', 'slots:standard', 'slots:bulk', 'slots:apart' }) do
    local number = numbers[field] or 0
    if number > 0 and redis.call('HINCRBY', BOOK, field, sign * number) < 0 then
      redis.call('HDEL', BOOK, field)
    end
  end
end

-- Returns when a tenant may again create as many jobs at once as in a whole minute.
local function rate_whole_at(tenant)
  return math.max(now_ms(), tonumber(redis.call('GET', RATE .. tenant) or 0))
end

-- Returns how long a tenant must wait, in ms, before it may create a job; `rate` is jobs a minute.
local function rate_wait(tenant, rate)
  return math.max(0, math.ceil(rate_whole_at(tenant) + RATE_WINDOW_MS / rate - RATE_WINDOW_MS - now_ms()))
end

-- Counts a job that a tenant has created or cancelled against its rate.
local function spend_rate(tenant, rate)
  local whole_at = math.min(rate_whole_at(tenant) + RATE_WINDOW_MS / rate, now_ms() + RATE_WINDOW_MS)
  redis.call('SET', RATE .. tenant, whole_at, 'PX', RATE_WINDOW_MS)
end

-- Removes a worker from the list, and its rate and slots from the fleet's.
local function leave(name)
  redis.call('ZREM', ALIVE, name)
  count_worker(name, -1)
  redis.call('HDEL', WORKERS, 'capacity:' .. name, 'slots:' .. name, 'status:' .. name)
end

-- Removes a worker that has ended, and the note of its last claim.
local function dismiss(name)
  leave(name)
  redis.call('HDEL', WORKERS, 'claim:' .. name)
end

-- Removes workers whose last report has expired.
local function lapse()
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', ALIVE, '-inf', now_ms(), 'LIMIT', 0, 64)) do
    dismiss(name)
  end
end
