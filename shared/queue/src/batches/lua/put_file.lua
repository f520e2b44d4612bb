-- Creates the record of a file, which expires with the file.
local ROOT, id, tenant, record, created, expires = KEYS[1], unpack(ARGV)
redis.call('SET', ROOT .. 'file:' .. id, record)
redis.call('EXPIREAT', ROOT .. 'file:' .. id, expires)
local list = ROOT .. 'files:' .. tenant
redis.call('ZADD', list, created, id)
redis.call('ZREMRANGEBYSCORE', list, '-inf', redis.call('TIME')[1] - 31 * 24 * 3600)
return 1
