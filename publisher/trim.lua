#!lua flags=allow-oom
-- Drop what lies farther behind all sinks of a lane than is kept.
--
-- KEYS[1]  lease:{lane}:publisher  string `<fence>:<instance>`
-- ARGV[1]  the lease's value as this instance took it
-- ARGV[2]  ordered:{lane}          stream; no key, as a publisher may only read and trim it
-- ARGV[3]  the entry before which all goes
--
-- Returns 1, or 0 when fenced. It works when Redis is out of memory: that is how room is made.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('XTRIM', ARGV[2], 'MINID', '=', ARGV[3])
return 1
