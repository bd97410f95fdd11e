#!lua flags=allow-oom
-- Compare and append: publish runs, save the checkpoint and drop what lies before it, or do
-- nothing at all.
--
-- KEYS[1]  lease:{lane}:orderer  string `<fence>:<instance>`
-- KEYS[2]  order:{lane}          hash: incarnation, commit, raw, seen, serial, ...
-- KEYS[3]  next:{lane}           hash: sequence -> `<epoch>:<next>:<serial>`
-- KEYS[4]  ordered:{lane}        stream of runs, entry id `<generation>-<serial>`
-- then     for each feed of which something moves:
--          gaps:{lane}...        stream, its gap ledger
--          prints:{lane}...      stream of its fingerprints
--
-- ARGV[1]  the lease's value as this instance holds it
-- ARGV[2]  expected incarnation
-- ARGV[3]  expected name of the last commit, '' before the first
-- ARGV[4]  name of this commit, never used for another
-- ARGV[5]  raw:{lane}, the input; no key, as an orderer may only read it and drop entries
-- ARGV[6]  the checkpoint, an entry of the input; it is dropped, too
-- ARGV[7]  length of a ledger at which its oldest entries go
-- then     number of sequences that move; for each: its name, where it is expected to stand in
--          next:{lane} ('' if not there yet), and where it stands then
-- then     number of fields and values that change in order:{lane}; fields and values
-- then     number of runs; for each: which feed's it is, from 0; its entry id; the entry id before
--          which fingerprints may go, and the id of its own; number of values with these; the
--          values (field, value, ...); number of values; values (field, value, ...)
-- then     number of ledger entries; for each: which feed's it is, from 0; the entry it replaces or
--          ''; number of values; values (field, value, ...)
--
-- Returns {'done', ledger ids...}; {'done before'} when this very commit was made already and
-- only its reply was lost; {'lost'} when this is not the numbering that was loaded, since Redis
-- lost its data; {'fenced'} when the lease is another's; {'moved'} when it is ours and yet this
-- does not follow the last commit, since Redis came back without what it wrote last; {'back'} when
-- that is so of the input alone: all is written but for the checkpoint, which is the begin. What
-- lies before it may be something else than what was read, with ids from a clock that was set back.
--
-- Ids have up to 19 digits, more than a Lua number holds, so they stay strings here. It works when
-- Redis is out of memory, too: what is published was in the input, and leaves it now or, if older
-- frames are still held, a bounded time later.
local saved = redis.call('HMGET', KEYS[2], 'incarnation', 'commit', 'raw')
if saved[2] == ARGV[4] then return {'done before'} end
if saved[1] ~= ARGV[2] then return {'lost'} end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'fenced'} end
if (saved[2] or '') ~= ARGV[3] then return {'moved'} end

local at = 8
local moving = tonumber(ARGV[at])
at = at + 1
local names, stands = {}, {}
for i = 1, moving do
  names[i] = ARGV[at]
  stands[2 * i - 1], stands[2 * i] = ARGV[at], ARGV[at + 2]
  at = at + 3
end
if moving > 0 then
  for i, stood in ipairs(redis.call('HMGET', KEYS[3], unpack(names))) do
    if (stood or '') ~= ARGV[7 + 3 * i] then return {'moved'} end
  end
end
local changed = at
at = at + 1 + tonumber(ARGV[at])

local runs = tonumber(ARGV[at])
at = at + 1
for _ = 1, runs do
  local kept = tonumber(ARGV[at + 4])
  local values = at + 5 + kept
  local count = tonumber(ARGV[values])
  redis.call('XADD', KEYS[4], ARGV[at + 1], unpack(ARGV, values + 1, values + count))
  redis.call('XADD', KEYS[6 + 2 * ARGV[at]], 'MINID', '~', ARGV[at + 2], ARGV[at + 3],
             unpack(ARGV, at + 5, at + 4 + kept))
  at = values + 1 + count
end

local reply = {'done'}
local rows = tonumber(ARGV[at])
at = at + 1
for i = 1, rows do
  local ledger, count = KEYS[5 + 2 * ARGV[at]], tonumber(ARGV[at + 2])
  reply[i + 1] = redis.call('XADD', ledger, 'MAXLEN', '~', ARGV[7], '*',
                            unpack(ARGV, at + 3, at + 2 + count))
  if ARGV[at + 1] ~= '' then redis.call('XDEL', ledger, ARGV[at + 1]) end
  at = at + 3 + count
end

if moving > 0 then redis.call('HSET', KEYS[3], unpack(stands)) end
redis.call('HSET', KEYS[2], 'commit', ARGV[4], 'raw', ARGV[6],
           unpack(ARGV, changed + 1, changed + tonumber(ARGV[changed])))
if (saved[3] or '0-0') ~= ARGV[6] then
  if redis.call('XDEL', ARGV[5], ARGV[6]) == 0 then
    redis.call('HSET', KEYS[2], 'raw', '0-0', 'seen', '0-0')
    return {'back'}
  end
  redis.call('XTRIM', ARGV[5], 'MINID', '=', ARGV[6])
end
return reply
