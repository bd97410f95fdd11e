-- Append a batch of records to a room's log and publish it: one order for everybody.
--
-- KEYS[1]  chat:{room}:log             stream; entry id <epoch>-<seq>, one field (m, e or epoch)
-- KEYS[2]  chat:{room}:writer:<inst>   string `<serial> <reply>`: this instance's last batch
-- KEYS[3…] chat:{room}:key:<digest>    string `<epoch>-<seq> <author>`: what a key became
-- ARGV[1]  channel chat:{room}
-- ARGV[2]  serial of the batch; 0 = no batch, only make sure that there is an epoch
-- ARGV[3]  epoch and
-- ARGV[4]  sequence number of the latest record that this instance has seen, or 0 0
-- ARGV[5]  what a new epoch would be called
-- ARGV[6]  length to which the log is trimmed, roughly
-- ARGV[7]  ms after which a client's key is forgotten
-- ARGV[8]  ms after which the instance's last batch is forgotten
-- ARGV[9]  time, µs since 1970
-- ARGV[10] highest number of a client that this instance knows of
-- then for each record six:
--   kind m (message) or e (event); form j (a JSON object without its end) or t (text as it is);
--   index of its key in KEYS, or 0; author; 1 if the author came back from another connection;
--   the record
--
-- Returns one word for each record: <epoch>-<seq>, with a = before it if the record had been there
-- already. With serial 0: <epoch>-<seq> of the last record. `stale` if a later batch is there.
--
-- Published is `<epoch> <first seq> <µs> <number>`, then ` <kind><bytes>` for each record, a
-- newline, and the records' bytes, which are those that clients get.
local log, writer = KEYS[1], KEYS[2]
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

local epoch, seq = 0, 0
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if last then
  local a, b = string.match(last[1], '^(%d+)-(%d+)$')
  epoch, seq = tonumber(a), tonumber(b)
end

-- A log that is gone, or ends before what has been seen of it, was lost: numbers must not be
-- given twice, so a new epoch begins.
local seen_epoch, seen_seq = tonumber(ARGV[3]), tonumber(ARGV[4])
if not last or epoch < seen_epoch or (epoch == seen_epoch and seq < seen_seq) then
  epoch = math.max(tonumber(ARGV[5]), epoch + 1, seen_epoch + 1)
  seq = 0
  redis.call('XADD', log, entry_id(epoch, 0), 'epoch', ARGV[9])
end
if serial == 0 then return entry_id(epoch, seq) end

local first = seq + 1
local head = { string.format('%.0f %.0f', epoch, first), ARGV[9], ARGV[10] }
local records, reply = {}, {}
for at = 11, #ARGV, 6 do
  local kind, form, index = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local author, returned, record = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local known
  if index > 0 then
    local became = redis.call('GET', KEYS[index])
    if became then
      local id, by = string.match(became, '^(%S+) (.*)$')
      if by == author or returned == '1' then known = id end
    end
  end
  if known then
    reply[#reply + 1] = '=' .. known
  else
    seq = seq + 1
    local id = entry_id(epoch, seq)
    if form == 'j' then
      record = record .. string.format(',"seq":%.0f,"epoch":%.0f}', seq, epoch)
    end
    redis.call('XADD', log, 'MAXLEN', '~', ARGV[6], id, kind, record)
    if index > 0 then redis.call('SET', KEYS[index], id .. ' ' .. author, 'PX', ARGV[7]) end
    head[#head + 1] = kind .. #record
    records[#records + 1] = record
    reply[#reply + 1] = id
  end
end
if seq >= first then
  redis.call('PUBLISH', ARGV[1], table.concat(head, ' ') .. '\n' .. table.concat(records))
end
local words = table.concat(reply, ' ')
redis.call('SET', writer, ARGV[2] .. ' ' .. words, 'PX', ARGV[8])
return words
