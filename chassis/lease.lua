#!lua flags=allow-oom
-- Acquire or renew a lease.
--
-- KEYS[1]  lease:{feed}:<role>   string `<fence>:<instance>`, expires
-- KEYS[2]  fence:{feed}:<role>   counter of holders, never expires
-- ARGV[1]  the value this instance believes it holds, or '' to acquire
-- ARGV[2]  instance
-- ARGV[3]  time to live, ms
--
-- Returns the value that is now held by this instance, or '' when another holds the lease.
-- It works when Redis is out of memory, too: who makes room again must be let to work.
local value = redis.call('GET', KEYS[1])
if value then
  if value ~= ARGV[1] then return '' end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return value
end
local fence = redis.call('INCR', KEYS[2])
value = fence .. ':' .. ARGV[2]
redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
return value
