-- What state and ledger say, and what the stream says of the same, all at one moment.
--
-- KEYS[1] stream  KEYS[2] state  KEYS[3] ledger
-- ARGV[1] group
-- Returns {seq and layers of the state, the ledger's fields and values, the newest 100 entries, the highest id ever given
-- or false, the group's place or false, the entries at or before that place, one at most}; nothing of a key that cannot
-- be read.
local function list(...)
  local reply = redis.pcall(...)
  return reply.err and {} or reply
end
local newest, place = false, false
local told = list('XINFO', 'STREAM', KEYS[1])
for i = 1, #told, 2 do
  if told[i] == 'last-generated-id' then newest = told[i + 1] end
end
for _, group in ipairs(list('XINFO', 'GROUPS', KEYS[1])) do
  local named = {}
  for i = 1, #group, 2 do named[group[i]] = group[i + 1] end
  if named.name == ARGV[1] then place = named['last-delivered-id'] end
end
return {list('HMGET', KEYS[2], 'seq', 'layers'), list('HGETALL', KEYS[3]),
  list('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 100), newest, place,
  place and list('XREVRANGE', KEYS[1], place, '-', 'COUNT', 1) or {}}
