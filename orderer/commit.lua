-- Compare and append: publish runs and save the checkpoint, or do nothing at all.
--
-- KEYS[1]  lease:{feed}:orderer  string `<fence>:<instance>`
-- KEYS[2]  order:{feed}          hash: incarnation, epoch, next, raw, seen, lines, begun, commit
-- KEYS[3]  ordered:{feed}        stream of runs, entry id `<epoch>-<last id>`
-- KEYS[4]  gaps:{feed}           stream, the gap ledger
--
-- ARGV[1]       the lease's value as this instance holds it
-- ARGV[2..4]    expected incarnation, epoch, next ('' while the first id is not known)
-- ARGV[5..10]   new epoch, next, raw, seen, lines, begun
-- ARGV[11]      name of this commit, never used for another
-- ARGV[12]      length of the ledger at which its oldest entries go
-- ARGV[13]      number of runs; for each: entry id, number of values, values (field, value, ...)
-- then          number of ledger entries; for each: the entry it replaces or '', number of
--               values, values (field, value, ...)
--
-- Returns {'done', ledger ids...}; {'done before'} when this very commit was made already and
-- only its reply was lost; {'lost'} when this is not the numbering that was loaded, since Redis
-- lost its data; {'fenced'} when the lease is another's; {'moved'} when it is ours and yet the
-- output does not end where the run begins, since Redis came back without what it wrote last.
--
-- Ids have up to 19 digits, more than a Lua number holds, so they stay strings here. Redis checks
-- for memory before a script's first write: out of memory, nothing is written.
local saved = redis.call('HMGET', KEYS[2], 'incarnation', 'epoch', 'next', 'commit')
if saved[4] == ARGV[11] then return {'done before'} end
if saved[1] ~= ARGV[2] then return {'lost'} end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'fenced'} end
if saved[2] ~= ARGV[3] or saved[3] ~= ARGV[4] then return {'moved'} end

local at = 13
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
  reply[i + 1] = redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[12], '*',
                            unpack(ARGV, at + 2, at + 1 + count))
  if ARGV[at] ~= '' then redis.call('XDEL', KEYS[4], ARGV[at]) end
  at = at + 2 + count
end

redis.call('HSET', KEYS[2], 'epoch', ARGV[5], 'next', ARGV[6], 'raw', ARGV[7],
           'seen', ARGV[8], 'lines', ARGV[9], 'begun', ARGV[10], 'commit', ARGV[11])
return reply
