-- Tell this instance, on the connection on which it hears the room, where the room's log ends.
--
-- KEYS[1]  chat:{room}:log   stream
-- ARGV[1]  channel chat:{room}:canary:<instance>
--
-- Whatever was published before reaches the instance before: if it then has seen less than the
-- published `<epoch>-<seq>`, something was lost on the way. Returns the same; `0-0` = no log.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local id = last and last[1] or '0-0'
redis.call('PUBLISH', ARGV[1], id)
return id
