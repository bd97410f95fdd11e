#!lua flags=allow-oom
-- Acquire a lease, if nobody holds it.
--
-- KEYS[1]  lease:{feed}:<role>   string `<fence>:<instance>`, expires
-- KEYS[2]  fence:{feed}:<role>   counter of holders, never expires
-- ARGV[1]  instance
-- ARGV[2]  time to live, ms
--
-- Returns the value that is now held by this instance, or '' when the lease is held.
-- It works when Redis is out of memory, too: who makes room again must be let to work.
if redis.call('GET', KEYS[1]) then return '' end
local value = redis.call('INCR', KEYS[2]) .. ':' .. ARGV[1]
redis.call('SET', KEYS[1], value, 'PX', ARGV[2])
return value
