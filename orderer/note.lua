#!lua flags=allow-oom
-- Do one command that only leaves a note, unless the lane's lease is another's: what an orderer that
-- was superseded tells would come back to life when its feed has been forgotten.
--
-- KEYS[1]  lease:{lane}:orderer  string `<fence>:<instance>`
-- ARGV[1]  the lease's value as this instance holds it
-- then     the command, its key an argument like the others
--
-- Returns 1, or 0 when fenced.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call(unpack(ARGV, 2))
return 1
