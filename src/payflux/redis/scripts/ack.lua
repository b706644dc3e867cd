-- Ack pending entries and note in the ledger that it was done, if the caller still holds the lease.
--
-- KEYS[1] stream  KEYS[2] lease  KEYS[3] ledger
-- ARGV[1] group  ARGV[2] owner  ARGV[3] lease in milliseconds  ARGV[4] settled  ARGV[5] last id  ARGV[6] last number
-- ARGV[7] ids left behind, separated by blanks  ARGV[8] entries the caller believes to be pending  ARGV[9…] ids
-- Returns one character for each id, "1" when it was pending until now; or "lease" when the lease is not the caller's.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'lease' end
redis.call('PEXPIRE', KEYS[2], ARGV[3]) -- first, so that a full Redis does as it is told; see commit.lua
local ids, flags = {}, nil
for i = 9, #ARGV do ids[#ids + 1] = ARGV[i] end
local acked = 0
local pending = #ids > 0 and redis.call('XPENDING', KEYS[1], ARGV[1])
if pending and pending[1] == tonumber(ARGV[8]) and #pending[4] == 1 then
  -- Nobody else has touched the group (or somebody has acked all of it, and holds as many): one command does for all.
  acked = redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
  flags = string.rep(acked > 0 and '1' or '0', #ids)
else
  flags = {}
  for i, id in ipairs(ids) do
    local n = redis.call('XACK', KEYS[1], ARGV[1], id)
    acked = acked + n
    flags[i] = tostring(n)
  end
  flags = table.concat(flags)
end
-- An ack that comes late, from a connection that was given up, finds nothing pending and must not take the ledger back.
local function before(id, other)
  local ms, n = string.match(id, '(%d+)-(%d+)')
  local other_ms, other_n = string.match(other, '^(%d+)-(%d+)$')
  if not other_ms then return false end -- anybody may have written there
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms < other_ms or ms == other_ms and tonumber(n) < tonumber(other_n)
end
if #ids > 0 and acked == 0 and before(ARGV[5], redis.call('HGET', KEYS[3], 'last_id') or '0-0') then return flags end
redis.call('HINCRBY', KEYS[3], 'acked', acked)
redis.call('HSET', KEYS[3], 'at', redis.call('TIME')[1], 'owner', ARGV[2], 'settled', ARGV[4], 'last_id', ARGV[5], 'last_seq', ARGV[6],
  'left', ARGV[7])
return flags
