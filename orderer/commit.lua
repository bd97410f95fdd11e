-- Compare and append: publish runs and save the checkpoint, or do nothing at all.
--
-- KEYS[1]  lease:{feed}:orderer  string `<fence>:<instance>`
-- KEYS[2]  order:{feed}          hash: incarnation, epoch, next, first, raw, seen, lines, begun,
--                                commit
-- KEYS[3]  ordered:{feed}        stream of runs, entry id `<epoch>-<last id>`
-- KEYS[4]  gaps:{feed}           stream, the gap ledger
--
-- ARGV[1]       the lease's value as this instance holds it
-- ARGV[2..5]    expected incarnation, epoch, next ('' while the first id is not known), and the
--               name of the last commit ('' before the first)
-- ARGV[6..12]   new epoch, next, first, raw, seen, lines, begun
-- ARGV[13]      name of this commit, never used for another
-- ARGV[14]      length of the ledger at which its oldest entries go
-- ARGV[15]      number of runs; for each: entry id, number of values, values (field, value, ...)
-- then          number of ledger entries; for each: the entry it replaces or '', number of
--               values, values (field, value, ...)
--
-- Returns {'done', ledger ids...}; {'done before'} when this very commit was made already and
-- only its reply was lost; {'lost'} when this is not the numbering that was loaded, since Redis
-- lost its data; {'fenced'} when the lease is another's; {'moved'} when it is ours and yet this
-- does not follow the last commit, since Redis came back without what it wrote last.
--
-- Ids have up to 19 digits, more than a Lua number holds, so they stay strings here. Redis checks
-- for memory before a script's first write: out of memory, nothing is written.
local saved = redis.call('HMGET', KEYS[2], 'incarnation', 'epoch', 'next', 'commit')
if saved[4] == ARGV[13] then return {'done before'} end
if saved[1] ~= ARGV[2] then return {'lost'} end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'fenced'} end
if saved[2] ~= ARGV[3] or saved[3] ~= ARGV[4] or (saved[4] or '') ~= ARGV[5] then
  return {'moved'}
end

local at = 15
local runs = tonumber(ARGV[at])
at = at + 1
for _ = 1, runs do
  local count = tonumber(ARGV[at + 1])
  redis.call('XADD', KEYS[3], ARGV[at], unpack(ARGV, at + 2, at + 1 + count))
  at = at + 2 + count
end

local reply = {'done'}
local gaps = tonumber(ARGV[at])
at = at + 1
for i = 1, gaps do
  local count = tonumber(ARGV[at + 1])
  reply[i + 1] = redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[14], '*',
                            unpack(ARGV, at + 2, at + 1 + count))
  if ARGV[at] ~= '' then redis.call('XDEL', KEYS[4], ARGV[at]) end
  at = at + 2 + count
end

redis.call('HSET', KEYS[2], 'epoch', ARGV[6], 'next', ARGV[7], 'first', ARGV[8],
           'raw', ARGV[9], 'seen', ARGV[10], 'lines', ARGV[11], 'begun', ARGV[12],
           'commit', ARGV[13])
return reply
