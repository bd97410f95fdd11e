#!lua flags=allow-oom
-- Make feeds known: write down which lane carries each, unless that is known already.
--
-- KEYS[1]  feeds, hash: feed -> lane; or a set of feeds, as an earlier version left it
-- ARGV     feeds; each gets a lane of its own, which has its name
--
-- It works when Redis is out of memory, too: who orders a feed makes room.
if redis.call('TYPE', KEYS[1]).ok == 'set' then
  local members = redis.call('SMEMBERS', KEYS[1])
  redis.call('DEL', KEYS[1])
  for _, feed in ipairs(members) do redis.call('HSET', KEYS[1], feed, feed) end
end
for _, feed in ipairs(ARGV) do redis.call('HSETNX', KEYS[1], feed, feed) end
return 1
