#!lua flags=allow-oom
-- Save a sink's position, unless another publisher has taken the sink over.
--
-- KEYS[1]  lease:{lane}:sink:<sink>  string `<fence>:<instance>`
-- KEYS[2]  sink:{lane}...:<sink>     hash: position, serial, incarnation
-- ARGV[1]  the lease's value as this instance took it
-- ARGV[2]  position
-- ARGV[3]  serial of the last message that is confirmed, '' if it is not known
-- ARGV[4]  incarnation, '' if there is none yet
--
-- Returns 1, or 0 when fenced. It works when Redis is out of memory, too: what is not known to be
-- delivered can never be dropped.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], 'position', ARGV[2], 'serial', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], 'incarnation', ARGV[4]) end
return 1
