-- Put one dead letter back into the stream, as a new entry with the next number, in one atomic step.
--
-- The event's mark exists since it was first appended (see append.lua, which also lists every key), so it is not asked for.
-- A script that fails is not rolled back. So both writes that follow the append are tried first without an effect (type
-- of the key, permission, memory): once the entry is appended nothing can stop the rest, and an entry is never requeued
-- twice, however often it is tried.
--
-- KEYS[1] stream  KEYS[2] state  KEYS[3] dead-letter stream
-- ARGV[1] id of the dead letter
-- Returns the number it was given, or false when there is no such dead letter (any more).
local entry = redis.call('XRANGE', KEYS[3], ARGV[1], ARGV[1])[1]
if not entry then return false end
local data
for i = 1, #entry[2], 2 do
  if entry[2][i] == 'data' then data = entry[2][i + 1] end
end
if not data then return redis.error_reply('ERR the dead letter has no data') end
local seq = redis.call('HGET', KEYS[2], 'seq') or '0'
if not string.find(seq, '^%d+$') or #seq > 15 then
  return redis.error_reply('BADVALUE seq is ' .. string.sub(seq, 1, 40) .. ' (key ' .. KEYS[2] .. ')')
end
seq = tonumber(seq)
redis.call('HSET', KEYS[2], 'seq', seq)
redis.call('XDEL', KEYS[3], '0-0')
redis.call('XADD', KEYS[1], '*', 'data', data, 'seq', seq + 1)
redis.call('HSET', KEYS[2], 'seq', seq + 1)
redis.call('XDEL', KEYS[3], ARGV[1])
return seq + 1
