-- Copy an entry to the dead-letter stream, then ack it, if it is still pending and the caller holds the lease.
-- The copy comes first: a script that fails is not rolled back, and an entry must not vanish.
--
-- KEYS[1] stream  KEYS[2] lease  KEYS[3] ledger  KEYS[4] dead-letter stream
-- ARGV[1] group  ARGV[2] owner  ARGV[3] id  ARGV[4] data  ARGV[5] reason  ARGV[6] timestamp
-- ARGV[7] last id  ARGV[8] last number  ARGV[9] ids left behind without this one, separated by blanks
-- Returns 1, 0 when it was not pending, or "lease" when the lease is not the caller's.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'lease' end
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1) == 0 then return 0 end
redis.call('HSET', KEYS[3], 'owner', ARGV[2]) -- what keeps the ledger from being written must be met before the copy
redis.call('XADD', KEYS[4], '*', 'data', ARGV[4], 'original_id', ARGV[3], 'reason', ARGV[5], 'timestamp', ARGV[6])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[3], 'at', redis.call('TIME')[1], 'owner', ARGV[2], 'last_id', ARGV[7], 'last_seq', ARGV[8], 'left', ARGV[9])
return 1
