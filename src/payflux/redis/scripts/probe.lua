--!df flags=allow-undeclared-keys
-- Whether an event could be appended now: what append.lua does with each kind of key, without an effect.
--
-- An XADD with the id 0-0 is refused, but only after permission and memory; the type of the key and whether it has an id
-- left are asked for. The mark is one in a set of its own, deleted at once. A set of marks that append.lua could not read
-- is noted in the state as `suspect`: there are thousands of sets, and whoever's event belongs there gets no 202. That set
-- alone is not declared, as it is known only once the state is read (see append.lua).
--
-- KEYS[1] stream  KEYS[2] state  KEYS[3] a set of marks of its own
-- ARGV[1] MAXLEN, 0 = none  ARGV[2] highest number the caller has been told
-- Returns 1, or an error that ends in "(key <key>)".
local stream, state, marks = KEYS[1], KEYS[2], KEYS[3]
local LAST = '18446744073709551615-18446744073709551615'
local failure

local function try(key, ...)
  if failure then return end
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then failure = reply.err .. ' (key ' .. key .. ')' else return reply end
end

local function demand(key, wanted)
  local kind = redis.pcall('TYPE', key).ok
  if kind and kind ~= 'none' and kind ~= wanted and not failure then
    failure = 'WRONGTYPE a ' .. kind .. ' and not a ' .. wanted .. ' (key ' .. key .. ')'
  end
  return kind
end

local function ours(number) return string.find(number, '^%d+$') and #number < 16 end

demand(stream, 'stream')
demand(state, 'hash')
local stored = try(state, 'HMGET', state, 'seq', 'layers', 'suspect') or {}
local seq = stored[1] or stored[2] and 'missing' or '0'
if stored[2] then try(state, 'HSET', state, 'layers', stored[2]) else try(state, 'HSET', state, 'seq', seq) end

if not ours(seq) and tonumber(ARGV[2]) == 0 then
  local found
  for _, entry in ipairs(try(stream, 'XREVRANGE', stream, '+', '-', 'COUNT', 100) or {}) do
    found = found or entry[2][1] == 'data' and entry[2][3] == 'seq' and ours(entry[2][4])
  end
  if not found and not failure then
    failure = 'BADVALUE seq is ' .. string.sub(seq, 1, 40) .. ' (key ' .. state .. ')'
  end
end
if stored[2] and not failure then
  local layers = stored[2] .. ';'
  if string.gsub(layers, '%d+,[3-6],%d+,%d+,%d+,%d+;', '') ~= '' then
    failure = 'BADVALUE layers is ' .. string.sub(stored[2], 1, 40) .. ' (key ' .. state .. ')'
  end
end

local refused = redis.pcall('XADD', stream, 'NOMKSTREAM', '0-0', 'data', '', 'seq', '0').err
if refused and not string.find(refused, '0-0', 1, true) and not failure then
  failure = refused .. ' (key ' .. stream .. ')'
end
local told = redis.pcall('XINFO', 'STREAM', stream)
for i = 1, #told, 2 do
  if told[i] == 'last-generated-id' and told[i + 1] == LAST and not failure then
    failure = 'ERR The stream has exhausted the last possible ID (key ' .. stream .. ')'
  end
end
if tonumber(ARGV[1]) > 0 then try(stream, 'XTRIM', stream, 'MAXLEN', '~', '9007199254740991') end

try(marks, 'SADD', marks, 1)
try(marks, 'SISMEMBER', marks, 1)
try(marks, 'UNLINK', marks)
if stored[3] then
  local kind = demand(stored[3], 'set')
  if kind == 'set' or kind == 'none' then try(state, 'HDEL', state, 'suspect') end
end
if failure then return redis.error_reply(failure) end
return 1
