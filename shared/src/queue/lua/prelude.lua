-- Put before every script: the keys by name, and the moves that several transitions share.
-- A job's hash: spec, lane, state, entry (its id in the lane's stream), attempt (claims so far), failures, crashes,
-- owner, cancel, max_frames, created_ms, started_ms, finished_ms, receipt, failure.
-- Every script but enqueue begins its writes with one that needs no memory: a Redis that is full refuses a script by its
-- first write, and a full queue must still be able to finish, take back and call off.
local DELAYED, LEASES, WAKE = KEYS[1], KEYS[2], KEYS[3]
local LANES = { 'live', 'standard', 'bulk' }
local STREAM = { live = KEYS[4], standard = KEYS[5], bulk = KEYS[6] }
local JOB = KEYS[7]
local GROUP = 'workers'
local WAKE_TOKENS_MAX = 64

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function get(id, ...)
  return redis.call('HMGET', JOB .. id, ...)
end

-- True when this attempt of this worker still holds the job's lease.
local function holds(id, owner, attempt)
  local job = get(id, 'state', 'owner', 'attempt')
  return job[1] == 'running' and job[2] == owner and job[3] == attempt
end

-- Puts a queued job into its lane and wakes one idle worker.
local function push(id)
  local lane = get(id, 'lane')[1]
  local entry = redis.call('XADD', STREAM[lane], '*', 'id', id)
  redis.call('HSET', JOB .. id, 'entry', entry)
  redis.call('LPUSH', WAKE, '1')
  redis.call('LTRIM', WAKE, 0, WAKE_TOKENS_MAX - 1)
end

-- Takes a delivered entry out of the lane, so that the lane's length stays waiting + running.
local function drop_entry(lane, entry)
  redis.call('XACK', STREAM[lane], GROUP, entry)
  redis.call('XDEL', STREAM[lane], entry)
end

-- First step of every way out of running.
local function leave_running(id)
  local job = get(id, 'lane', 'entry')
  drop_entry(job[1], job[2])
  redis.call('ZREM', LEASES, id)
  redis.call('HDEL', JOB .. id, 'entry')
end

-- Out of running and into the queue again: now, or when the delay is over.
local function requeue(id, delay_ms)
  redis.call('HSET', JOB .. id, 'state', 'queued')
  redis.call('HDEL', JOB .. id, 'owner')
  if delay_ms > 0 then
    redis.call('ZADD', DELAYED, now_ms() + delay_ms, id)
  else
    push(id)
  end
end

-- Any open state -> a final one. The record stays for ttl_ms; a payload that nobody can need again goes at once.
local function settle(id, state, ttl_ms)
  redis.call('ZREM', DELAYED, id)
  redis.call('HSET', JOB .. id, 'state', state, 'finished_ms', now_ms())
  if state ~= 'failed' then
    redis.call('HDEL', JOB .. id, 'spec')
  end
  redis.call('PEXPIRE', JOB .. id, ttl_ms)
end

-- Moves retries that are due into their lanes, at most `limit` of them.
local function promote(limit)
  local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now_ms(), 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    redis.call('ZREM', DELAYED, id)
    if get(id, 'state')[1] == 'queued' then
      push(id)
    end
  end
  return #due
end
