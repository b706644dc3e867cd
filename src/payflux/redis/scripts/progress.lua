-- Whether what is in the stream comes out of it, for one group.
--
-- KEYS[1] stream  KEYS[2] lease  KEYS[3] ledger  KEYS[4] dead-letter stream
-- ARGV[1] group
-- Returns {seconds the oldest unread entry has waited or -1, seconds since the last commit or -1, 1 when a lease is held,
-- for each key in its order: false, or why it cannot be used, which ends in "(key <key>)"}.
local now = tonumber(redis.call('TIME')[1])

-- By a command the consumer needs as well: what it may not do here it may not do there.
local function unusable(key, ...)
  local reply = redis.pcall(...)
  return type(reply) == 'table' and reply.err and reply.err .. ' (key ' .. key .. ')' or false
end
local buried = unusable(KEYS[4], 'XADD', KEYS[4], 'NOMKSTREAM', '0-0', 'data', '') -- always refused, see probe.lua
if buried and string.find(buried, ' 0-0 ', 1, true) then buried = false end
local wrong = {unusable(KEYS[1], 'XLEN', KEYS[1]), unusable(KEYS[2], 'GET', KEYS[2]),
  unusable(KEYS[3], 'HGET', KEYS[3], 'at'), unusable(KEYS[4], 'XLEN', KEYS[4])}

local read, groups = '0-0', redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, group in ipairs(groups) do
  local named = {}
  for i = 1, #group, 2 do named[group[i]] = group[i + 1] end
  if named.name == ARGV[1] then read = named['last-delivered-id'] end
end
local waiting, since = -1, -1
local oldest = redis.pcall('XRANGE', KEYS[1], '(' .. read, '+', 'COUNT', 1)[1]
if oldest then waiting = math.max(0, now - tonumber(string.match(oldest[1], '^%d+')) / 1000) end
local at = redis.pcall('HGET', KEYS[3], 'at')
-- After a fail-over the clock may be another one, and what it tells of the other's is nothing.
if type(at) == 'string' and string.find(at, '^%d+$') and tonumber(at) <= now + 1 then since = math.max(0, now - at) end
return {waiting, since, redis.pcall('EXISTS', KEYS[2]) == 1 and 1 or 0, wrong[1], wrong[2], wrong[3], wrong[4]}
