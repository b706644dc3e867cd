-- How much waits in the stream for one group. A missing group has read nothing, a key of the wrong type holds nothing.
--
-- The first unread entry that has a number tells how many were given from it on: what Redis calls the lag is wrong after
-- trimming, and Redis 6.2 does not tell it.
--
-- KEYS[1] stream  KEYS[2] state  KEYS[3] dead-letter stream
-- ARGV[1] group
-- Returns {entries in the stream, entries pending, entries unread, entries in the dead-letter stream}.
local function number(command, key)
  local found = redis.pcall(command, key)
  return type(found) == 'number' and found or 0
end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
local read, groups = '0-0', redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, group in ipairs(groups) do
  local named = {}
  for i = 1, #group, 2 do named[group[i]] = group[i + 1] end
  if named.name == ARGV[1] then read = named['last-delivered-id'] end
end
local seq = redis.pcall('HGET', KEYS[2], 'seq')
local last = type(seq) == 'string' and string.find(seq, '^%d+$') and #seq < 16 and tonumber(seq) or 0
local unread = 0
for i, entry in ipairs(redis.pcall('XRANGE', KEYS[1], '(' .. read, '+', 'COUNT', 10)) do
  local first
  for j = 1, #entry[2], 2 do
    local value = entry[2][j + 1]
    if entry[2][j] == 'seq' and string.find(value, '^%d+$') and #value < 16 then first = tonumber(value) end
  end
  unread = i + math.max(0, last - (first or last))
  if first then break end
end
return {number('XLEN', KEYS[1]), pending.err and 0 or pending[1], unread, number('XLEN', KEYS[3])}
