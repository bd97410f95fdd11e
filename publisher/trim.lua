#!lua flags=allow-oom
-- Say how far the slowest sink is, and drop what lies farther behind than is kept.
--
-- KEYS[1]  lease:{lane}:sink:<sink>  string `<fence>:<instance>`, of the slowest sink
-- KEYS[2]  confirmed:{lane}          hash: feed -> how many messages its slowest sink has confirmed
-- ARGV[1]  the lease's value as this instance took it
-- ARGV[2]  feed
-- ARGV[3]  how many messages it has confirmed
-- ARGV[4]  ordered:{lane}            stream; no key, as a publisher may only read and trim it
-- ARGV[5]  the entry before which all goes, '' for none
--
-- Returns 1, or 0 when fenced. It works when Redis is out of memory: that is how room is made.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if ARGV[5] ~= '' then redis.call('XTRIM', ARGV[4], 'MINID', '=', ARGV[5]) end
return 1
