-- Tell this instance, on the connection on which it hears a channel, where the channel's stream
-- ends.
--
-- KEYS[1]  stream of what is published on the channel
-- ARGV[1]  the instance's own channel
--
-- Whatever was published before reaches the instance before: if it then has seen less than the
-- published id, something was lost on the way. Returns the same id; `0-0` = an empty stream.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local id = last and last[1] or '0-0'
redis.call('PUBLISH', ARGV[1], id)
return id
