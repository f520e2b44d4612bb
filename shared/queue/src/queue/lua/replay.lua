-- dead letter -> a new job of the same request. The old job stays failed and names the new one. A
-- repeat changes nothing.
local id, new_id = unpack(ARGV)
local job = get(id, 'state', 'dead', 'replayed_as', 'spec', 'lane', 'max_frames', 'cost', 'tenant', 'base', 'kind',
  'warnings')
if job.replayed_as then
  return job.replayed_as
end
if job.state ~= 'failed' or not job.dead or not job.spec then
  return ''
end
local warned = job.warnings and { 'warnings', job.warnings } or {}
accept(new_id, job.lane, job.cost, job.tenant, nil, job.spec, 'max_frames', job.max_frames, 'fingerprint', '',
  'base', job.base or job.cost, 'kind', job.kind or '', unpack(warned))
redis.call('HSET', JOB .. id, 'replayed_as', new_id)
redis.call('HDEL', JOB .. id, 'spec', 'dead')
redis.call('XDEL', DLQ, job.dead)
return new_id
