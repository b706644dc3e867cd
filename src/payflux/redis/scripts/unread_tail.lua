-- The last number given, when no entry follows an id.
--
-- KEYS[1] stream  KEYS[2] state
-- ARGV[1] id
-- Returns the number as it is stored, or false while an entry follows.
if #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1) > 0 then return false end
return redis.call('HGET', KEYS[2], 'seq') or '0'
