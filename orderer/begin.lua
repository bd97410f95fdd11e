#!lua flags=allow-oom
-- Begin a numbering, unless there is one, or the lane's lease is another's.
--
-- KEYS[1]  order:{lane}          hash
-- KEYS[2]  next:{lane}           hash: feed -> where its output ends; what is left there was another's
-- KEYS[3]  lease:{lane}:orderer  string `<fence>:<instance>`
-- ARGV[1]  incarnation
-- ARGV[2]  first epoch of a sequence
-- ARGV[3]  the lease's value as this instance holds it
--
-- It works when Redis is out of memory, too: what waits in the input leaves it only so.
if redis.call('GET', KEYS[3]) ~= ARGV[3] then return 0 end
if redis.call('HSETNX', KEYS[1], 'incarnation', ARGV[1]) == 1 then
  for _, feed in ipairs(redis.call('HKEYS', KEYS[2])) do redis.call('HDEL', KEYS[2], feed) end
  redis.call('HSET', KEYS[1], 'floor', ARGV[2], 'serial', 0)
end
return 1
