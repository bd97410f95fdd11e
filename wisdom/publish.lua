-- Append a quote to the stream and publish it, once.
--
-- KEYS[1]  lease:{wisdom}:tick   string
-- KEYS[2]  quotes:{wisdom}       stream: one entry for each quote, its id when it was published
-- ARGV[1]  the caller's lease, `<fence>:<instance>`
-- ARGV[2]  the latest entry that the caller knows; `0-0` if none
-- ARGV[3]  the quote
-- ARGV[4]  entries that are kept, about
-- ARGV[5]  channel
-- ARGV[6]  the entry's field
--
-- Returns the latest entry; one that the caller does not know tells that an earlier try took
-- effect, or that the stream was lost. Nothing is done, and nothing returned, without the lease.
-- What is published is `<entry before> <entry> <quote>`.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local before = last and last[1] or '0-0'
if before ~= ARGV[2] then return before end
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', ARGV[6], ARGV[3])
redis.call('PUBLISH', ARGV[5], before .. ' ' .. id .. ' ' .. ARGV[3])
return id
