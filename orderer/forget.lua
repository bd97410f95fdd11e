#!lua flags=allow-oom
-- Forget a feed, if its lane is still as it was looked at; or do nothing at all.
--
-- KEYS[1]  lease:{lane}:orderer  string `<fence>:<instance>`
-- KEYS[2]  order:{lane}          hash: incarnation, commit, ...
-- ARGV[1]  the lease's value as this instance holds it
-- ARGV[2]  expected incarnation, '' if there is none
-- ARGV[3]  expected name of the last commit, '' before the first
-- ARGV[4]  raw:{lane}
-- ARGV[5]  its expected last entry, '' if it may go on meanwhile
-- ARGV[6]  confirmed:{lane}, hash: feed -> how much is confirmed
-- ARGV[7]  its field that tells what is set aside, `<bytes> <feed> ...`
-- ARGV[8]  the feed
-- then     number of leases that nobody may hold; their names
-- then     number of hashes some fields of which go; for each: its name, number of fields, fields
-- then     number of fields and values that change in order:{lane}; fields and values
-- then     number of streams that become empty; their names
-- then     number of keys that go as a whole; their names
--
-- Returns 'done', 'fenced' when the lease is another's, 'moved' when the lane is not what it was,
-- and 'busy' when one of the leases is held. But for two, keys are no keys here, as an orderer may
-- only remove them. It works when Redis is out of memory: it makes room.
--
-- Counters of who has ordered or published a lane stay: a lease's value is to be another each time,
-- also for a process that had it before its feed was forgotten, wakes up, and takes it again.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'fenced' end
local saved = redis.call('HMGET', KEYS[2], 'incarnation', 'commit')
if (saved[1] or '') ~= ARGV[2] or (saved[2] or '') ~= ARGV[3] then return 'moved' end
if ARGV[5] ~= '' then
  local newest = redis.call('XREVRANGE', ARGV[4], '+', '-', 'COUNT', 1)[1]
  if (newest and newest[1] or '0-0') ~= ARGV[5] then return 'moved' end
end
local at = 9
for i = 1, tonumber(ARGV[at]) do
  if redis.call('GET', ARGV[at + i]) then return 'busy' end
end
at = at + 1 + tonumber(ARGV[at])

local aside = redis.call('HGET', ARGV[6], ARGV[7])
if aside then
  local left, others = {}, false
  for word in string.gmatch(aside, '%S+') do
    others = others or (#left > 0 and word ~= ARGV[8])
    if #left == 0 or word ~= ARGV[8] then left[#left + 1] = word end
  end
  redis.call('HSET', ARGV[6], ARGV[7], others and table.concat(left, ' ') or '')
end

local hashes = tonumber(ARGV[at])
at = at + 1
for _ = 1, hashes do
  local count = tonumber(ARGV[at + 1])
  redis.call('HDEL', ARGV[at], unpack(ARGV, at + 2, at + 1 + count))
  at = at + 2 + count
end
local set = tonumber(ARGV[at])
if set > 0 then redis.call('HSET', KEYS[2], unpack(ARGV, at + 1, at + set)) end
at = at + 1 + set
for i = 1, tonumber(ARGV[at]) do redis.call('XTRIM', ARGV[at + i], 'MAXLEN', 0) end
at = at + 1 + tonumber(ARGV[at])
for i = 1, tonumber(ARGV[at]) do redis.call('UNLINK', ARGV[at + i]) end
return 'done'
