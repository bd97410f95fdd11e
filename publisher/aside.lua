#!lua flags=allow-oom
-- Set aside what a lane has for a sink that others are not to wait for.
--
-- KEYS[1]  lease:{lane}:publisher  string `<fence>:<instance>`
-- KEYS[2]  sink:{lane}:<feed>:<sink>   hash: position, aside, ...
-- KEYS[3]  aside:{lane}:<feed>:<sink>  stream of entries of `ordered`, with their ids
-- ARGV[1]  the lease's value as this instance took it
-- ARGV[2]  ordered:{lane}          stream; no key, as a publisher may only read and trim it
-- ARGV[3]  feed
-- ARGV[4]  the entry up to which this has been done
-- ARGV[5]  number of entries to look at, at most
--
-- Returns the entry up to which it is done now, or '' when fenced; nothing is done for a sink of which
-- no position is saved, since its feed was forgotten. It works when Redis is out of
-- memory, too: what is set aside makes room for the trimming of all the rest.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return '' end
if not redis.call('HMGET', KEYS[2], 'position')[1] then return ARGV[4] end
local entries = redis.call('XRANGE', ARGV[2], '(' .. ARGV[4], '+', 'COUNT', ARGV[5])
local upto, whose = ARGV[4], ARGV[3] .. ':'
for _, entry in ipairs(entries) do
  upto = entry[1]
  -- t, its value, seq, its value, <feed>:<key>:<id> or <feed>:<id>
  if string.sub(entry[2][5], 1, #whose) == whose then
    redis.call('XADD', KEYS[3], upto, unpack(entry[2]))
  end
end
redis.call('HSET', KEYS[2], 'aside', upto)
return upto
