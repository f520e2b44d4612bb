-- Reads the numbers of each lane on this shard, and the wait that a job would be told now.
-- Answers, for each lane: waiting frames, waiting jobs, running jobs, the times at which the first
-- and the last of these will likely end, and the wait in ms; -1 if it is unknown.
local answer, book = {}, fields_of(BOOK, 'waiting:live', 'waiting:standard', 'waiting:bulk')
for _, lane in ipairs(LANES) do
  local at, wait = lane_here(lane, book['waiting:' .. lane]), predicted_wait(lane)
  local ends, last = ends_here(lane)
  for _, number in ipairs({ at.frames, at.jobs, at.running, ends[1] or 0, last, wait or -1 }) do
    answer[#answer + 1] = number
  end
end
return answer
