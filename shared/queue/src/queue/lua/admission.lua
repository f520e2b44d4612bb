-- Put behind prelude.lua for the scripts that need it: what jobs cost, and how long a job will wait.
local COSTS = ROOT .. 'costs'

-- Returns the time in ms that a worker's slot needs for one frame of cost, or that of the fleet if
-- the worker has not told its rate; nil if no worker has.
local function frame_ms(owner)
  local mine = redis.call('HMGET', WORKERS, 'capacity:' .. owner, 'slots:' .. owner)
  local capacity, slots = tonumber(mine[1] or 0), 0
  for number in string.gmatch(mine[2] or '', '%d+') do
    slots = math.max(slots, tonumber(number))
  end
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

-- Largest number of a lane's ends that are looked at one by one.
local ENDS_READ_MAX = 16

-- Returns the numbers of a lane on this shard: the frames that wait, the jobs that do, and the jobs
-- that run.
local function lane_here(lane, frames)
  local running = redis.call('ZCARD', ENDS .. lane)
  frames = math.max(0, tonumber(frames or 0))
  local jobs = frames > 0 and math.min(frames, redis.call('ZCARD', WAITS .. lane)) or 0
  return { frames = frames, jobs = jobs, running = running }
end

-- Returns the times at which the running jobs of a lane on this shard will likely end, the first few
-- in order, and the last. A job that is late will likely take as long again as it is late.
local function ends_here(lane)
  local ends, now = {}, now_ms()
  local read = redis.call('ZRANGE', ENDS .. lane, 0, ENDS_READ_MAX - 1, 'WITHSCORES')
  for i = 2, #read, 2 do
    ends[#ends + 1] = now + math.abs(read[i] - now)
  end
  table.sort(ends)
  local last = tonumber(redis.call('ZREVRANGE', ENDS .. lane, 0, 0, 'WITHSCORES')[2] or 0)
  return ends, math.max(ends[#ends] or 0, last)
end

-- Returns the numbers of a lane on all shards. `others` holds those of the other shards as the last
-- report found them: frames, jobs, running jobs, first and last end.
local function lane_now(lane, frames, others)
  local at, there = lane_here(lane, frames), {}
  for number in string.gmatch(others or '', '%d+') do
    there[#there + 1] = tonumber(number)
  end
  at.here, at.elsewhere = at.running, there[3] or 0
  if #there == 5 then
    at.frames, at.jobs, at.running = at.frames + there[1], at.jobs + there[2], at.running + there[3]
    at.first, at.last = there[4], there[5]
  end
  return at
end

-- Adds the slots that the running jobs of a lane will leave, at most `left` of them, to the groups.
-- Returns how many it added.
local function add_slots(groups, lane, at, left)
  local added = 0
  local function add(count, first, last)
    count = math.min(count, left - added)
    if count > 0 then
      first, last = math.max(0, first - now_ms()), math.max(0, last - now_ms())
      groups[#groups + 1] = { count = count, first = first, last = last }
      added = added + count
    end
  end
  if at.here > 0 then
    local ends, last = ends_here(lane)
    for _, time in ipairs(ends) do
      add(1, time, time)
    end
    add(at.here - #ends, ends[#ends] or last, last)
  end
  add(at.elsewhere, at.first or 0, at.last or 0)
  return added
end

-- Returns the number of bulk jobs that run on workers of bulk jobs alone. Which worker runs a job is not
-- counted: such workers are the first to be full.
local function bulk_apart(lanes, slots)
  return math.min(slots.apart, lanes.bulk.running)
end

-- Returns the number of free slots that a job of the lane may take.
local function free_slots(lane, lanes, slots)
  local apart = bulk_apart(lanes, slots)
  local bulk = lanes.bulk.running - apart
  local free = slots.live - lanes.live.running - lanes.standard.running - bulk
  if lane ~= 'live' then
    free = math.min(free, slots.standard - lanes.standard.running - bulk)
  end
  if lane == 'bulk' then
    free = math.min(free, slots.bulk - slots.apart - bulk)
  end
  return math.max(0, free) + (lane == 'bulk' and slots.apart - apart or 0)
end

-- Returns the slots that a job of the lane may take, in groups in the order of time: how many, and
-- when the first and the last of them will be free, with the others evenly between.
local function groups_of(lane, lanes, slots, free)
  local groups, left = {}, slots[lane] - free
  if free > 0 then
    groups[1] = { count = free, first = 0, last = 0 }
  end
  -- A slot that a more urgent job leaves may be one that is kept for such jobs.
  for place = #LANES, 1, -1 do
    local here = left
    if LANES[place] == 'bulk' and lane ~= 'bulk' then
      here = math.min(left, lanes.bulk.running - bulk_apart(lanes, slots))
    end
    if here > 0 then
      left = left - add_slots(groups, LANES[place], lanes[LANES[place]], here)
    end
  end
  table.sort(groups, function(a, b)
    return a.first < b.first
  end)
  return groups
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

-- Doublings of a job's cost that are told apart: more than the longest job at the largest factor.
local SIZES = 18

-- Returns the waiting work of a lane as jobs of like size, each with its number and its ms of one
-- slot. Work that no size is known of, because it waits on other shards, counts as endlessly small
-- jobs. scale: factor for the work of other lanes that goes first.
local function sizes_of(lane, work, scale, each)
  local fields, sizes, known = {}, {}, 0
  for n = 0, SIZES - 1 do
    fields[n + 1] = 'sizes:' .. lane .. ':' .. n
  end
  for n, number in ipairs(redis.call('HMGET', BOOK, unpack(fields))) do
    local count = math.max(0, tonumber(number or 0)) * scale
    if count > 0 then
      local cost = 1.5 * 2 ^ (n - 1) * each
      sizes[#sizes + 1] = { count = count, cost = cost }
      known = known + count * cost
    end
  end
  local excess = math.max(1, known / math.max(work, 1e-9))
  for _, size in ipairs(sizes) do
    size.cost = size.cost / excess
  end
  return sizes, math.max(0, work - known)
end

-- Returns the time in ms at which the groups' slots have done the work in front of one more job, and
-- are free for it; `jobs` jobs are in front. A job holds one slot: however long it is, it keeps no
-- other slot from those behind it.
local function time_of_turn(groups, jobs, work, sizes, rest)
  local function in_front(time)
    local sum = rest
    for _, size in ipairs(sizes) do
      sum = sum + size.count * math.min(size.cost, time)
    end
    return sum
  end
  local count, last, turn = 0, 0, nil
  for _, group in ipairs(groups) do
    local place = math.ceil(jobs) + 1 - count
    if not turn and place <= group.count then
      turn = group.first + (group.last - group.first) * (place - 1) / math.max(1, group.count - 1)
    end
    count, last = count + group.count, math.max(last, group.last)
  end
  local low, high = groups[1].first, last + work / count
  for _ = 1, 40 do
    local middle = (low + high) / 2
    if time_free(groups, middle) <= in_front(middle - groups[1].first) then
      low = middle
    else
      high = middle
    end
  end
  -- With fewer jobs in front than slots, each gets a slot of its own, and so does this one.
  return turn and math.min(turn, high) or high
end

-- Returns the expected wait in ms of a job that joins a lane now; nil while no worker of the lane has
-- reported its rate, or while the lane is paused, which the second value tells. A lane waits for its share of
-- the slots that it may take, and at most until all that waits has begun.
local function predicted_wait(lane)
  local book = fields_of(BOOK, 'capacity', 'rated', 'slots:live', 'slots:standard', 'slots:bulk', 'slots:apart',
    'waiting:live', 'waiting:standard', 'waiting:bulk', 'others:live', 'others:standard', 'others:bulk',
    'paused:live', 'paused:standard', 'paused:bulk')
  local capacity = tonumber(book.capacity or 0)
  if book['paused:' .. lane] then
    return nil, true
  elseif capacity <= 0 then
    return nil, false
  end
  local lanes, slots, all, weights = {}, { apart = tonumber(book['slots:apart'] or 0) }, 0, 0
  for _, name in ipairs(LANES) do
    lanes[name] = lane_now(name, book['waiting:' .. name], book['others:' .. name])
    slots[name] = tonumber(book['slots:' .. name] or 0)
    if name == lane or (lanes[name].frames > 0 and not book['paused:' .. name]) then
      all, weights = all + lanes[name].frames, weights + WEIGHT[name]
    end
  end
  if slots[lane] == 0 and slots.apart > 0 then
    return nil, false
  end
  local own = lanes[lane]
  local frames = math.min(all, own.frames * weights / WEIGHT[lane])
  local free = free_slots(lane, lanes, slots)
  if free > own.jobs then
    return 0, false
  end
  local groups = groups_of(lane, lanes, slots, free)
  if #groups == 0 then
    return math.floor(frames * 1000000 / capacity), false
  end
  local each, scale = tonumber(book.rated or 0) * 1000000 / capacity, own.frames > 0 and frames / own.frames or 0
  local sizes, rest = sizes_of(lane, frames * each, scale, each)
  return math.floor(time_of_turn(groups, own.jobs * scale, frames * each, sizes, rest) + 0.5), false
end
