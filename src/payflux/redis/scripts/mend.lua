-- Put a field of a hash right, unless it has changed since it was looked at.
--
-- KEYS[1] hash
-- ARGV[1] field  ARGV[2] what it held, empty for nothing  ARGV[3] what it is to hold; without it the field is deleted
-- Returns 1, or 0 when it holds something else by now.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
