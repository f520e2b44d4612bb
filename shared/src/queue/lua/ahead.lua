-- How many entries of its stream a queued job still has before it, counted up to a limit; -1 when it is not waiting there.
-- ARGV: id, limit
local job = get(ARGV[1], 'state', 'queue', 'entry')
if job[1] ~= 'queued' or not job[3] then
  return -1
end
local stream, after = STREAM .. job[2], '-'
local groups = redis.pcall('XINFO', 'GROUPS', stream)
for _, group in ipairs(groups.err and {} or groups) do
  for i = 1, #group, 2 do
    if group[i] == 'last-delivered-id' then
      after = '(' .. group[i + 1]
    end
  end
end
return #redis.call('XRANGE', stream, after, '(' .. job[3], 'COUNT', tonumber(ARGV[2]))
