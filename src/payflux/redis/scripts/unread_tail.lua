-- The last number given and the time, when no entry follows an id.
--
-- Where none ever followed, it can only be that of the entry with the id, whatever anybody has written into the state.
--
-- KEYS[1] stream  KEYS[2] state
-- ARGV[1] id  ARGV[2] its number, as far as the caller knows
-- Returns the number as it is stored, seconds and microseconds; or false while an entry follows.
local now = redis.call('TIME')
local told = redis.pcall('XINFO', 'STREAM', KEYS[1])
for i = 1, #told, 2 do
  if told[i] == 'last-generated-id' and told[i + 1] == ARGV[1] then
    local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
    return {entry and entry[2][3] == 'seq' and entry[2][4] or ARGV[2], now[1], now[2]}
  end
end
if #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1) > 0 then return false end
return {redis.call('HGET', KEYS[2], 'seq') or '0', now[1], now[2]}
