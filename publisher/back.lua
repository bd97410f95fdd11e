#!lua flags=allow-oom
-- Drop what a sink has confirmed of what was set aside for it; all, once it is back in its lane.
--
-- KEYS[1]  lease:{lane}:publisher  string `<fence>:<instance>`
-- KEYS[2]  sink:{lane}:<feed>:<sink>   hash: position, aside, ...
-- KEYS[3]  aside:{lane}:<feed>:<sink>  stream of entries of `ordered`, with their ids
-- ARGV[1]  the lease's value as this instance took it
-- ARGV[2]  the last entry that is confirmed
-- ARGV[3]  '1' if that is all that was set aside
--
-- Returns 1, or 0 when fenced.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[3])
  redis.call('HDEL', KEYS[2], 'aside')
else
  redis.call('XTRIM', KEYS[3], 'MINID', '=', ARGV[2])
end
return 1
