-- nothing -> queued. Idempotent on the job's id: a second call changes nothing and says so.
-- ARGV: id, lane, spec, max_frames, lane_depth_max
local id, lane = ARGV[1], ARGV[2]
local known = get(id, 'state')[1]
if known then
  return { 'exists', known }
end
local depth = redis.call('XLEN', STREAM[lane])
if depth >= tonumber(ARGV[5]) then
  return { 'full', tostring(depth) }
end
redis.call('HSET', JOB .. id, 'state', 'queued', 'lane', lane, 'spec', ARGV[3], 'max_frames', ARGV[4],
  'created_ms', now_ms(), 'attempt', 0, 'failures', 0, 'crashes', 0)
push(id)
return { 'accepted', '' }
