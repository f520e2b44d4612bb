-- Put behind prelude.lua for the scripts that need it: what jobs cost, and how long a job will wait.
local COSTS = ROOT .. 'costs'

-- Returns the time in ms that a worker's slot needs for one frame of cost, or that of the fleet if
-- the worker has not told its rate; nil if no worker has.
local function frame_ms(owner)
  local mine = redis.call('HMGET', WORKERS, 'capacity:' .. owner, 'slots:' .. owner)
  local capacity, slots = tonumber(mine[1] or 0), tonumber(string.match(mine[2] or '', '%d+') or 0)
  if capacity <= 0 or slots <= 0 then
    local fleet = redis.call('HMGET', BOOK, 'capacity', 'rated')
    capacity, slots = tonumber(fleet[1] or 0), tonumber(fleet[2] or 0)
  end
  return capacity > 0 and slots > 0 and slots * 1000000 / capacity or nil
end

-- What jobs of one kind took, in frames, and what they were estimated to cost: two sums in which
-- every job counts a tenth less than the next one. One kind never changes the cost of another.
local COST_KEPT = 0.9
-- Largest factor between an estimate and the cost, both ways.
local COST_FACTOR_MAX = 16

-- Returns the cost of a job: its estimate, corrected by what jobs of its kind took in its lane.
local function corrected(lane, kind, base)
  local took, estimated = string.match(redis.call('HGET', COSTS, lane .. ':' .. kind) or '', '(%S+) (%S+)')
  return math.max(1, math.floor(base * (took and took / estimated or 1) + 0.5))
end

-- Notes the time for which a job held its slot. Attempts that resumed, or ran alone, were quicker
-- than the job is.
local function note_cost(id, job, owner)
  local known, each = get(id, 'kind', 'base', 'started_ms'), frame_ms(owner)
  if not each or not known.base or known.kind == '' or job.alone or tonumber(job.attempt) > 1 then
    return
  end
  local base, took = tonumber(known.base), (now_ms() - known.started_ms) / each
  took = math.max(base / COST_FACTOR_MAX, math.min(base * COST_FACTOR_MAX, took))
  local field = job.lane .. ':' .. known.kind
  local before, estimated = string.match(redis.call('HGET', COSTS, field) or '0 0', '(%S+) (%S+)')
  redis.call('HSET', COSTS, field, string.format('%.3f %.3f', before * COST_KEPT + took, estimated * COST_KEPT + base))
end

-- Returns the numbers of a lane on this shard: the frames that wait, the jobs that do, the jobs that
-- run, and the times at which the first and the last of these will likely end. A job that is late
-- will likely take as long again as it is late.
local function lane_here(lane, frames)
  local ends, now = ENDS .. lane, now_ms()
  local running = redis.call('ZCARD', ends)
  frames = math.max(0, tonumber(frames or 0))
  -- Entries of jobs that were called off are counted as well, until a claim skips them.
  local jobs = frames > 0 and math.min(frames, math.max(0, redis.call('XLEN', STREAM .. lane) - running)) or 0
  if running == 0 then
    return { frames = frames, jobs = jobs, running = 0, first = 0, last = 0 }
  end
  local before = string.format('(%d', now)
  local later = redis.call('ZRANGEBYSCORE', ends, now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  local late = redis.call('ZREVRANGEBYSCORE', ends, before, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  local first = math.min(tonumber(later) or math.huge, late and 2 * now - late or math.huge)
  local last = tonumber(redis.call('ZREVRANGE', ends, 0, 0, 'WITHSCORES')[2])
  return { frames = frames, jobs = jobs, running = running, first = first, last = math.max(first, last) }
end

-- Returns the numbers of a lane on all shards. `others` holds those of the other shards as the last
-- report found them, in the same order.
local function lane_now(lane, frames, others)
  local here, there = lane_here(lane, frames), {}
  for number in string.gmatch(others or '', '%d+') do
    there[#there + 1] = tonumber(number)
  end
  if #there < 5 then
    return here
  end
  local first = here.first
  if there[3] > 0 then
    first = here.running > 0 and math.min(first, there[4]) or there[4]
  end
  return { frames = here.frames + there[1], jobs = here.jobs + there[2], running = here.running + there[3],
    first = first, last = math.max(here.last, there[5]) }
end

-- Returns the slots that a job of the lane may take when they are free, in groups: how many, and
-- when the first and the last of them will be free, with the others evenly between.
local function slots_of(lane, lanes, slots)
  local all = lanes.live.running + lanes.standard.running + lanes.bulk.running
  local free = slots.live - all
  if lane ~= 'live' then
    free = math.min(free, slots.standard - lanes.standard.running - lanes.bulk.running)
  end
  if lane == 'bulk' then
    free = math.min(free, slots.bulk - lanes.bulk.running)
  end
  free = math.max(0, free)
  local groups, left = {}, slots[lane] - free
  if free > 0 then
    groups[1] = { count = free, first = 0, last = 0 }
  end
  -- A slot that a more urgent job leaves may be one that is kept for such jobs.
  for place = #LANES, 1, -1 do
    local at = lanes[LANES[place]]
    local count = math.min(at.running, left)
    if count > 0 then
      local first, last = math.max(0, at.first - now_ms()), math.max(0, at.last - now_ms())
      groups[#groups + 1] = { count = count, first = first, last = last }
      left = left - count
    end
  end
  return free, groups
end

-- Returns the time that the groups' slots have been free by `time`, all together.
local function time_free(groups, time)
  local sum = 0
  for _, group in ipairs(groups) do
    local since, spread = time - group.first, group.last - group.first
    if since >= spread then
      sum = sum + group.count * (since - spread / 2)
    elseif since > 0 then
      sum = sum + group.count * since * since / (2 * spread)
    end
  end
  return sum
end

-- Returns the time in ms at which the groups' slots have done `work`, ms of one slot, and are free
-- for one more job; `jobs` jobs are in front of it.
local function time_of_turn(groups, work, jobs)
  local count, first, last, turn = 0, math.huge, 0, 0
  for _, group in ipairs(groups) do
    count, first, last = count + group.count, math.min(first, group.first), math.max(last, group.last)
  end
  for _, group in ipairs(groups) do
    local place = math.ceil((jobs + 1) * group.count / count)
    local spread = group.last - group.first
    turn = math.max(turn, group.first + spread * (place - 1) / math.max(1, group.count - 1))
  end
  local low, high = first, last + work / count
  for _ = 1, 40 do
    local middle = (low + high) / 2
    if time_free(groups, middle) < work then
      low = middle
    else
      high = middle
    end
  end
  -- With fewer jobs in front than slots, each gets a slot of its own, and so does this one.
  return jobs < count and math.max(first, math.min(turn, high)) or high
end

-- Returns the expected wait in ms of a job that joins a lane now; nil while no worker has reported
-- its rate, or while the lane is paused, which the second value tells. A lane waits for its share of
-- the slots that it may take, and at most until all that waits has begun.
local function predicted_wait(lane)
  local book = fields_of(BOOK, 'capacity', 'rated', 'slots:live', 'slots:standard', 'slots:bulk',
    'waiting:live', 'waiting:standard', 'waiting:bulk', 'others:live', 'others:standard', 'others:bulk',
    'paused:live', 'paused:standard', 'paused:bulk')
  local capacity = tonumber(book.capacity or 0)
  if book['paused:' .. lane] then
    return nil, true
  elseif capacity <= 0 then
    return nil, false
  end
  local lanes, slots, all, weights = {}, {}, 0, 0
  for _, name in ipairs(LANES) do
    lanes[name] = lane_now(name, book['waiting:' .. name], book['others:' .. name])
    slots[name] = tonumber(book['slots:' .. name] or 0)
    if name == lane or (lanes[name].frames > 0 and not book['paused:' .. name]) then
      all, weights = all + lanes[name].frames, weights + WEIGHT[name]
    end
  end
  local own = lanes[lane]
  local frames = math.min(all, own.frames * weights / WEIGHT[lane])
  local free, groups = slots_of(lane, lanes, slots)
  if #groups == 0 then
    return math.floor(frames * 1000000 / capacity), false
  elseif free > own.jobs then
    return 0, false
  end
  local jobs = own.frames > 0 and own.jobs * frames / own.frames or 0
  return math.floor(time_of_turn(groups, frames * tonumber(book.rated or 0) * 1000000 / capacity, jobs) + 0.5), false
end
