-- The last number given and the time, when no entry follows an id.
--
-- KEYS[1] stream  KEYS[2] state
-- ARGV[1] id
-- Returns the number as it is stored, seconds and microseconds; or false while an entry follows.
if #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1) > 0 then return false end
local now = redis.call('TIME')
return {redis.call('HGET', KEYS[2], 'seq') or '0', now[1], now[2]}
