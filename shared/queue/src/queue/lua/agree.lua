-- Compares a process with the fleet document, which the first process of a fleet writes, and keeps
-- the document for ttl_ms more if they agree. Called on the first shard, which every process has.
-- mark: id of the watermark's key, '' if the process has none. marks: ids of all keys that it knows,
-- so that a key can be replaced while the fleet runs.
-- Answers what differs: name, value of the fleet, value of the process, for each.
local ttl_ms, shards, model, window, mark, marks = unpack(ARGV)
local FLEET = ROOT .. 'fleet'
local known, differs = fields_of(FLEET, 'shards', 'model', 'window', 'mark'), {}

local function compare(name, mine, same)
  if known[name] and not same then
    differs[#differs + 1] = name
    differs[#differs + 1] = known[name]
    differs[#differs + 1] = mine
  end
end

compare('shards', shards, known.shards == shards)
compare('model', model, known.model == model)
compare('window', window, known.window == window)
if mark ~= '' then
  compare('mark', mark, string.find(' ' .. marks .. ' ', ' ' .. (known.mark or '') .. ' ', 1, true))
end
if #differs == 0 then
  redis.call('PERSIST', FLEET)
  redis.call('HSET', FLEET, 'shards', shards, 'model', model, 'window', window)
  if mark ~= '' then
    redis.call('HSET', FLEET, 'mark', mark)
  end
  redis.call('PEXPIRE', FLEET, ttl_ms)
end
return differs
