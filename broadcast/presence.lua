-- Tell who is connected to this instance, and count who is connected to any.
--
-- KEYS[1]  hash: instance → `<expires, ms> <count> <names…>`
-- ARGV[1]  instance
-- ARGV[2]  ms for which an entry holds
-- ARGV[3]  `<count> <names…>` of this instance
--
-- Returns the number of clients, then instance and value of each entry that has run out.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now + ARGV[2], ARGV[3]))
local total, silent = 0, {}
local entries = redis.call('HGETALL', KEYS[1])
for at = 1, #entries, 2 do
  local expires, count = string.match(entries[at + 1], '^(%d+) (%d+)')
  if tonumber(expires) >= now then
    total = total + tonumber(count)
  else
    silent[#silent + 1] = entries[at]
    silent[#silent + 1] = entries[at + 1]
  end
end
return { total, silent }
