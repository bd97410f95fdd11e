#!lua flags=allow-oom
-- Write what an earlier version has left as we do, unless that was done.
--
-- KEYS[1]  order:{lane}  hash
-- KEYS[2]  next:{lane}   hash
-- ARGV[1]  the feed
-- ARGV[2]  where its output ends
-- then     fields and values of order:{lane}
--
-- It works when Redis is out of memory, too, as `begin.lua` does.
if redis.call('HEXISTS', KEYS[1], 'serial') == 0 then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('HSET', KEYS[1], unpack(ARGV, 3))
  redis.call('HDEL', KEYS[1], 'epoch', 'next', 'status')
end
return 1
