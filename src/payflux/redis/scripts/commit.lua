-- Note that the group is done with everything up to an id, if the caller holds the lease: what XREADGROUP and XACK do
-- entry by entry (and log entry by entry in the append-only file), for a whole range at once. Entries that are not done
-- become pending.
--
-- KEYS[1] stream  KEYS[2] lease  KEYS[3] ledger  KEYS[4] assessments  KEYS[5] risk
-- ARGV[1] group  ARGV[2] owner  ARGV[3] lease in milliseconds  ARGV[4] settled  ARGV[5] last id  ARGV[6] last number
-- ARGV[7] ids left behind, separated by blanks  ARGV[8] consumer  ARGV[9] events done  ARGV[10] the id before the range
-- ARGV[11] entries in the range  ARGV[12] entries that were trimmed from it unread
-- ARGV[13] length of the log of assessments  ARGV[14] assessments that changed  ARGV[15…] three words of each: processor,
-- second, JSON; then the ids that become pending
--
-- A script that fails is not rolled back, and a group ahead of its ledger has lost what lies between. So what follows the
-- move is tried first without an effect. And a commit whose connection was given up may arrive long after the range was
-- followed and noted again: where group and ledger are that far already, it must not take them back.
-- Returns those of them that do not, as they were deleted from the stream; or "lease" when that is not the caller's.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'lease' end

-- A full Redis refuses commands that may take memory, unless the script has written something before, and what is in the
-- stream has to come out of it all the same. So this comes first, which is never refused.
redis.call('PEXPIRE', KEYS[2], ARGV[3])

local function named(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local group
for _, flat in ipairs(redis.call('EXISTS', KEYS[1]) == 1 and redis.call('XINFO', 'GROUPS', KEYS[1]) or {}) do
  local one = named(flat)
  if one.name == ARGV[1] then group = one end
end
if not group then return redis.error_reply('NOGROUP ' .. ARGV[1]) end

local function reaches(id, other)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  local other_ms, other_n = string.match(other, '(%d+)-(%d+)')
  if not ms then return false end -- anybody may have written there
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms > other_ms or ms == other_ms and tonumber(n) >= tonumber(other_n)
end
local noted = redis.call('HGET', KEYS[3], 'last_id') or '0-0'
if reaches(noted, ARGV[5]) and reaches(group['last-delivered-id'], ARGV[5]) then
  return redis.error_reply('ERR noted already')
end

local first_undone = 15 + 3 * ARGV[14]
redis.call('HINCRBY', KEYS[3], 'acked', 0)
if #ARGV >= first_undone then redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[8], 0, '0-0', 'JUSTID') end

-- Redis 7 tells the lag only while it knows how many entries were read; Redis 6.2 knows neither.
local read = group['entries-read']
if read and group['last-delivered-id'] == ARGV[10] then
  read = read + ARGV[11] + ARGV[12]
else
  local stream = named(redis.call('XINFO', 'STREAM', KEYS[1]))
  local added = stream['entries-added']
  if added and stream['last-generated-id'] == ARGV[5] then
    read = added
  else
    local first = added and #redis.call('XRANGE', KEYS[1], '-', ARGV[10], 'COUNT', 1) == 0
    read = first and added - stream['length'] + ARGV[11]
  end
end
if read then
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[5], 'ENTRIESREAD', read)
else
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[5])
end
local gone, left = {}, ' ' .. ARGV[7] .. ' '
for i = first_undone, #ARGV do
  local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[8], 0, ARGV[i], 'RETRYCOUNT', 1, 'FORCE', 'JUSTID')
  if #claimed == 0 then
    gone[#gone + 1] = ARGV[i]
    local from, to = string.find(left, ' ' .. ARGV[i] .. ' ', 1, true)
    if from then left = string.sub(left, 1, from) .. string.sub(left, to + 1) end
  end
end
redis.call('HINCRBY', KEYS[3], 'acked', ARGV[9])
redis.call('HSET', KEYS[3], 'at', redis.call('TIME')[1], 'owner', ARGV[2], 'settled', ARGV[4], 'last_id', ARGV[5], 'last_seq', ARGV[6],
  'left', string.sub(left, 2, -2))

-- An assessment is kept once, however often it is told. What is wrong with these keys must not keep events from coming
-- out: `keep_risk.lua` meets it too, and is heard.
for i = 15, first_undone - 1, 3 do
  local last = redis.pcall('HGET', KEYS[5], ARGV[i])
  if not (type(last) == 'string' and tonumber(string.match(last, '^%d+') or 0) >= tonumber(ARGV[i + 1])) then
    redis.pcall('XADD', KEYS[4], 'MAXLEN', '~', ARGV[13], '*',
      'processor', ARGV[i], 'second', ARGV[i + 1], 'assessment', ARGV[i + 2])
    redis.pcall('HSET', KEYS[5], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  end
end
return gone
