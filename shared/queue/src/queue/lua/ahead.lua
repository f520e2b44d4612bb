-- Counts the entries of its stream that a queued job still waits behind, up to a limit; -1 if it
-- does not wait there.
local id, limit = unpack(ARGV)
local job = get(id, 'state', 'queue', 'entry')
if job.state ~= 'queued' or not job.entry then
  return -1
end
local stream, after = STREAM .. job.queue, '-'
local groups = redis.pcall('XINFO', 'GROUPS', stream)
for _, group in ipairs(groups.err and {} or groups) do
  for i = 1, #group, 2 do
    if group[i] == 'last-delivered-id' then
      after = '(' .. group[i + 1]
    end
  end
end
return #redis.call('XRANGE', stream, after, '(' .. job.entry, 'COUNT', limit)
