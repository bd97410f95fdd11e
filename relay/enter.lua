#!lua flags=allow-oom
-- Make feeds known: write down which lane carries each, unless that is known already.
--
-- KEYS[1]  feeds, hash: feed -> lane; or a set of feeds, as an earlier version left it
-- ARGV[1]  how many feeds get a lane of their own, which has their name: those that come first
-- ARGV[2]  number of lanes that the others share, by turns
-- ARGV[3]  begin of the names of these
-- ARGV[4]  number of feeds that get a lane of their own whenever they come
-- ARGV[5]  these, then all other feeds
--
-- It works when Redis is out of memory, too: who orders a feed makes room.
if redis.call('TYPE', KEYS[1]).ok == 'set' then
  local members = redis.call('SMEMBERS', KEYS[1])
  redis.call('DEL', KEYS[1])
  for _, feed in ipairs(members) do redis.call('HSET', KEYS[1], feed, feed) end
end
local own, named = tonumber(ARGV[1]), 4 + tonumber(ARGV[4])
local known = redis.call('HLEN', KEYS[1])
for at = 5, #ARGV do
  local feed = ARGV[at]
  local lane = feed
  if at > named and known >= own then lane = ARGV[3] .. (known - own) % tonumber(ARGV[2]) end
  known = known + redis.call('HSETNX', KEYS[1], feed, lane)
end
return 1
