-- Append a batch of records to a room's log and publish it: one order for everybody.
--
-- KEYS[1]  chat:{room}:log             stream; entry id <epoch>-<seq>, one field (m, e or epoch), and
--                                      perhaps k: the digest of the key that became this record
-- KEYS[2]  chat:{room}:writer:<inst>   string `<serial> <reply>`: this instance's last batch
-- KEYS[3]  chat:{room}:size            string: bytes of the log, see `cost`
-- KEYS[4…] chat:{room}:key:<digest>    string `<epoch>-<seq>`: what a key became
-- ARGV[1]  channel chat:{room}
-- ARGV[2]  serial of the batch; 0 = no batch, only make sure that there is an epoch
-- ARGV[3]  epoch and
-- ARGV[4]  sequence number of the latest record that this instance has seen, or 0 0
-- ARGV[5]  what a new epoch would be called
-- ARGV[6]  records, and
-- ARGV[7]  bytes that the log may hold
-- ARGV[8]  ms after which a client's key is forgotten
-- ARGV[9]  ms after which the instance's last batch is forgotten
-- ARGV[10] time when the batch was sent, µs since 1970, by the replica's clock
-- ARGV[11] highest number of a client that this instance knows of
-- ARGV[12] what the names of keys begin with, chat:{room}:key:
-- then for each record four:
--   kind m (message) or e (event); form j (a JSON object without time and end) or t (text as it is);
--   digest of its key, or ''; the record
--
-- Records of form j get the time here, by Redis' clock: those of the replicas' hosts differ. It
-- stands first in a record, and never goes back, even where Redis' clock does.
--
-- Returns one word for each record: <epoch>-<seq>, with a = before it if the record had been there
-- already. With serial 0: <epoch>-<seq> of the last record. `stale` if a later batch is there.
--
-- Published is `<epoch> <first seq> <µs> <number>`, then ` <kind><bytes>` for each record, a
-- newline, and the records' bytes, which are those that clients get.
local log, writer, size_key = KEYS[1], KEYS[2], KEYS[3]
local serial = tonumber(ARGV[2])

-- A reply may be lost and the call repeated, or come late from a connection given up long ago.
if serial > 0 then
  local before = redis.call('GET', writer)
  if before then
    local done, reply = string.match(before, '^(%d+) (.*)$')
    if tonumber(done) == serial then return reply end
    if tonumber(done) > serial then return 'stale' end
  end
end

local function entry_id(epoch, seq) return string.format('%.0f-%.0f', epoch, seq) end

-- What an entry takes in memory, roughly: its record, itself, and its key.
local function cost(record, digest)
  return #record + 48 + (digest and 200 or 0)
end

-- Seconds since 1970 and µs as ISO 8601, UTC: Howard Hinnant's `civil_from_days`, whose years begin
-- in March.
local function iso(seconds, us)
  local floor = math.floor
  local day = floor(seconds / 86400) + 719468
  local era = floor(day / 146097)
  local of_era = day - era * 146097
  local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524)
    - floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
  local march = floor((5 * of_year + 2) / 153)
  local month = march < 10 and march + 3 or march - 9
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03d+00:00',
    year + era * 400 + (month < 3 and 1 or 0), month, of_year - floor((153 * march + 2) / 5) + 1,
    floor(seconds / 3600) % 24, floor(seconds / 60) % 60, seconds % 60, floor(us / 1000))
end

local function digest_of(fields) return fields[3] == 'k' and fields[4] or nil end

local epoch, seq = 0, 0
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if last then
  local a, b = string.match(last[1], '^(%d+)-(%d+)$')
  epoch, seq = tonumber(a), tonumber(b)
end

local now = redis.call('TIME')
now = iso(tonumber(now[1]), tonumber(now[2]))
local before = last and string.match(last[2][2], '^{"time":"([%dT:.+-]+)"')
if before and before > now then now = before end

-- An earlier version did not count.
local size = last and tonumber(redis.call('GET', size_key) or -1) or 0
if size < 0 then
  size = 0
  local from = '-'
  while true do
    local part = redis.call('XRANGE', log, from, '+', 'COUNT', 500)
    if #part == 0 then break end
    for _, entry in ipairs(part) do size = size + cost(entry[2][2], digest_of(entry[2])) end
    from = '(' .. part[#part][1]
  end
end

-- Room is made before anything is added: Redis refuses what adds when it is full, not what drops.
-- The last entry stays, for it tells where the numbers are.
local coming, number = 0, (#ARGV - 12) / 4
for at = 13, #ARGV, 4 do coming = coming + cost(ARGV[at + 3], ARGV[at + 2] ~= '') end
local length, most, most_bytes = redis.call('XLEN', log), tonumber(ARGV[6]), tonumber(ARGV[7])
local function crowded()
  return length > 1 and (length + number > most or size + coming > most_bytes)
end
while crowded() do
  local gone
  for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', 50)) do
    if not crowded() then break end
    local digest = digest_of(entry[2])
    if digest then redis.call('DEL', ARGV[12] .. digest) end
    size = size - cost(entry[2][2], digest)
    length = length - 1
    gone = entry[1]
  end
  local a, b = string.match(gone, '^(%d+)-(%d+)$')
  redis.call('XTRIM', log, 'MINID', '=', entry_id(tonumber(a), tonumber(b) + 1))
end

-- A log that is gone, or ends before what has been seen of it, was lost: numbers must not be
-- given twice, so a new epoch begins.
local seen_epoch, seen_seq = tonumber(ARGV[3]), tonumber(ARGV[4])
if not last or epoch < seen_epoch or (epoch == seen_epoch and seq < seen_seq) then
  epoch = math.max(tonumber(ARGV[5]), epoch + 1, seen_epoch + 1)
  seq = 0
  local marker = '{"time":"' .. now .. '"}'
  redis.call('XADD', log, entry_id(epoch, 0), 'epoch', marker)
  size = size + cost(marker)
end
if serial == 0 then
  redis.call('SET', size_key, string.format('%.0f', size))
  return entry_id(epoch, seq)
end

local first = seq + 1
local head = { string.format('%.0f %.0f', epoch, first), ARGV[10], ARGV[11] }
local records, reply = {}, {}
for at = 13, #ARGV, 4 do
  local kind, form, digest, record = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local key = ARGV[12] .. digest
  local known = digest ~= '' and redis.call('GET', key)
  if known then
    reply[#reply + 1] = '=' .. known
  else
    seq = seq + 1
    local id = entry_id(epoch, seq)
    if form == 'j' then
      record = '{"time":"' .. now .. '",' .. string.sub(record, 2)
        .. string.format(',"seq":%.0f,"epoch":%.0f}', seq, epoch)
    end
    if digest ~= '' then
      redis.call('XADD', log, id, kind, record, 'k', digest)
      redis.call('SET', key, id, 'PX', ARGV[8])
    else
      redis.call('XADD', log, id, kind, record)
    end
    size = size + cost(record, digest ~= '')
    head[#head + 1] = kind .. #record
    records[#records + 1] = record
    reply[#reply + 1] = id
  end
end
if seq >= first then
  redis.call('PUBLISH', ARGV[1], table.concat(head, ' ') .. '\n' .. table.concat(records))
end
redis.call('SET', size_key, string.format('%.0f', size))
local words = table.concat(reply, ' ')
redis.call('SET', writer, ARGV[2] .. ' ' .. words, 'PX', ARGV[9])
return words
