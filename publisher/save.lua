#!lua flags=allow-oom
-- Save positions of a lane's sinks, unless another publisher has taken the lane over.
--
-- KEYS[1]  lease:{lane}:publisher  string `<fence>:<instance>`
-- KEYS[2]  confirmed:{lane}        hash: feed -> how many messages its slowest sink has confirmed
-- KEYS[3]  sink:{lane}...:<sink>   hash: position, serial, incarnation; and so on
-- ARGV[1]  the lease's value as this instance took it
-- ARGV[2]  incarnation, '' if there is none yet
-- ARGV[3]  order:{lane}; no key, as a publisher may only read it
-- ARGV[4]  number of feeds of which it is to be seen that they were not forgotten meanwhile; for
--          each: its field in order:{lane} that tells, and what that said, '' if it was not there
-- then     position; then the serial of the last message that is confirmed, '' if it is not known;
--          for each sink
-- then     field and value in `confirmed`; for each that has changed
--
-- Returns 1, or 0 when fenced. If any of the feeds was forgotten nothing is saved, lest it come back
-- to life, and the reply lists their numbers. It works when Redis is out of memory, too: what is
-- not known to be delivered can never be dropped.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local feeds, fields, forgotten = tonumber(ARGV[4]), {}, {}
for i = 1, feeds do fields[i] = ARGV[3 + 2 * i] end
for start = 1, feeds, 1000 do  -- Lua passes on a few thousand values at most
  local said = redis.call('HMGET', ARGV[3], unpack(fields, start, math.min(start + 999, feeds)))
  for i, value in ipairs(said) do
    local at = start + i - 1
    if value and value ~= ARGV[4 + 2 * at] then forgotten[#forgotten + 1] = at end
  end
end
if #forgotten > 0 then return forgotten end
local at = 5 + 2 * feeds
for i = 3, #KEYS do
  redis.call('HSET', KEYS[i], 'position', ARGV[at], 'serial', ARGV[at + 1], 'incarnation', ARGV[2])
  at = at + 2
end
if at < #ARGV then redis.call('HSET', KEYS[2], unpack(ARGV, at)) end
return 1
