--!df flags=allow-undeclared-keys
-- Append a batch of events to the stream, each at most once: de-duplicate, number, append, mark, in one atomic step.
--
-- Every key PayFlux owns in Redis; `keys.py` names them, and the hash tag keeps them in one slot of a Redis Cluster:
--   events_stream                        stream   entries `data` (canonical JSON) and `seq`; the first one appended after
--                                                 the stream lost events also carries `lost_to`, the number it had reached
--   events_stream_dlq                    stream   dead letters; on a Redis Cluster {events_stream}:dlq, so that it is in
--                                                 the same slot
--   {events_stream}:state                hash     `seq` the last number given; `layers` the sets of marks (see below);
--                                                 `suspect` a key of marks that could not be read (see probe.lua)
--   {events_stream}:marks:<layer>:<hex>  set      marks of the event ids in one bucket of a layer
--   {events_stream}:webhook-marks:<processor>               hash, with `layers`, and
--   {events_stream}:webhook-marks:<processor>:<layer>:<hex> set: the same for the webhooks of a processor, with a
--                                                 window of its own
--   {events_stream}:marks:probe          set      made and deleted at once by the health check (see probe.lua)
--   {events_stream}:lease                string   who consumes the stream for the group payment_consumers
--   {events_stream}:ledger               hash     how far that consumer got, and `at` when (milliseconds)
--   {events_stream}:consumer:<name>      string   which node uses this consumer name
--   {events_stream}:incidents            stream   changes of incidents: `id`, `processor`, `incident` (JSON)
--   {events_stream}:incidents:open       hash     the open incidents by id, JSON
--   {events_stream}:incidents:told       hash     `second`, up to which changes are kept, and `state`, what its scorer knew
--                                                 then beside the snapshots
--   {events_stream}:incidents:verdicts   hash     what people said of incidents by id, JSON
--   {events_stream}:alerts:told          hash     `<receiver> <incident>`: what it was told of it, JSON; `<receiver>`: why it
--                                                 is told nothing just now, JSON
--   {events_stream}:alerts:tested        hash     when each receiver last took a test incident, Unix time
--   {events_stream}:mutes                hash     mutes of alerts by id, JSON
--   {events_stream}:lease:alerts         string   who tells the receivers of alerts
--   {events_stream}:assessments          stream   what was said of processors, as it changed: `processor`, `second` (of
--                                                 stream time, from which on it holds) and `assessment` (JSON)
--   {events_stream}:risk                 hash     the latest assessment of each processor: its second, a blank, the JSON
--   {events_stream}:snapshot:<processor> string   all that the detector knows of a processor, kept for 30 days
--   {events_stream}:scored               string   `<second> <number>`: what came in that second or before, and so with a
--                                                 lower number, is in some snapshot
--   {events_stream}:lease:<group>, {events_stream}:ledger:<group>, {events_stream}:consumer-of:<group>:<name>
--                                                 the same for every other group
--   {events_stream}:dlq:<group>          stream   what the destination of an exporter refused for good
--
-- Marks. An event id becomes a bucket (6 hex digits) and a mark (63-bit integer), so that a bucket is an integer set:
-- 8 bytes an id. A layer has 16^digits buckets and is closed when it is older than the window or holds 256 ids a
-- bucket on average (integer sets end at 512); the next one is then larger or smaller as needed. Only the newest layer
-- takes marks; a closed one is asked for one window more and then deleted in slices, larger ones when they do not keep
-- up with rare scripts. So an id is remembered for one to two windows, and found by 62.8 + 4 * digits bits, 74.8
-- or more.
--   layers = "<layer>,<digits>,<opened>,<closed or 0>,<count>,<next bucket to delete>" joined by ";", oldest first
--
-- A script that fails is not rolled back, so what must not be lost comes first: XADD, then the mark. That is the order
-- of the first event appended, which meets whatever keeps the stream from being written (another type, the ACL, no
-- memory). Once one XADD has succeeded the next ones do too, so the later events are marked first, by the one SADD that
-- also tells whether they are known; should their XADD fail all the same, the mark is taken back.
--
-- KEYS[1] stream  KEYS[2] state  KEYS[3] where the layers are and after which marks are named; without it: the
-- producers', which lie in state
-- The keys of marks are built here from the name of the stream, the only ones in all scripts that are not declared: in
-- which layers they lie is known once the state is read, in the same atomic step. Clusters and proxies take them all the
-- same, as they have the slot of the keys that are declared; the first line is for Dragonfly, which wants to be told.
-- ARGV[1] MAXLEN, 0 = none  ARGV[2] window in seconds  ARGV[3] highest number the caller has been told
-- ARGV[4…] for each event: bucket and mark in one word, data
-- Returns {last number, one character for each event in order: "1" appended, "0" already there, error or false}; when
-- an append failed, the characters end there and the error says why. A fourth element is what `seq` was when it was no
-- number of ours: then the stream tells how far they are, or the caller, and the event is refused where neither knows.
local call, pcall, sub = redis.call, redis.pcall, string.sub
local stream, state = KEYS[1], KEYS[2]
local maxlen, window, told = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local home = KEYS[3] or state
local marks = KEYS[3] and home .. ':' or '{' .. stream .. '}:marks:'
local MEAN, SMALLEST, LARGEST, SLICE, MOST = 256, 3, 6, 64, 4096

local function at(err, key) return err .. ' (key ' .. key .. ')' end
local stored = pcall('HMGET', state, 'seq', 'layers')
if stored.err then return redis.error_reply(at(stored.err, state)) end
local known_layers = stored[2]
if KEYS[3] then
  known_layers = pcall('HGET', home, 'layers')
  if type(known_layers) == 'table' then return redis.error_reply(at(known_layers.err, home)) end
end
local now = tonumber(call('TIME')[1])

local function ours(number) return string.find(number, '^%d+$') and #number < 16 end
local seq, odd = stored[1] or stored[2] and 'missing' or '0'
if ours(seq) then
  seq = tonumber(seq)
else
  odd, seq = seq, told
  for _, entry in ipairs(call('XREVRANGE', stream, '+', '-', 'COUNT', 100)) do
    local fields = entry[2]
    if fields[1] == 'data' and fields[3] == 'seq' and ours(fields[4]) then
      seq = tonumber(fields[4])
      break
    end
  end
  if seq == 0 then return redis.error_reply(at('BADVALUE seq is ' .. sub(odd, 1, 40), state)) end
end

local layers = {}
for id, digits, opened, closed, count, sweep in
  string.gmatch(known_layers or '', '(%d+),(%d+),(%d+),(%d+),(%d+),(%d+)') do
  layers[#layers + 1] = {id = tonumber(id), digits = tonumber(digits), opened = tonumber(opened),
    closed = tonumber(closed), count = tonumber(count), sweep = tonumber(sweep), prefix = marks .. id .. ':'}
  if #digits > 1 or layers[#layers].digits < SMALLEST or layers[#layers].digits > LARGEST then layers = {} break end
end
if known_layers and #layers == 0 then
  return redis.error_reply(at('BADVALUE layers is ' .. sub(known_layers, 1, 40), home))
end

local function open(digits, closed)
  local last = layers[#layers]
  local id = last and last.id + 1 or 1
  if last then last.closed = closed end
  layers[#layers + 1] = {id = id, digits = digits, opened = now, closed = 0, count = 0, sweep = 0,
    prefix = marks .. id .. ':'}
  return layers[#layers]
end

local newest = layers[#layers] or open(SMALLEST)
if newest.count >= MEAN * 16 ^ newest.digits and newest.digits < LARGEST then
  newest = open(newest.digits + 1, now)
elseif newest.count == 0 then
  newest.opened = now
elseif now - newest.opened >= window then
  -- It took its last mark within the window, however long nothing came since.
  local roomy = newest.count * 16 < MEAN * 16 ^ newest.digits and newest.digits > SMALLEST
  newest = open(roomy and newest.digits - 1 or newest.digits, newest.opened + window)
end

-- Delete a slice of a layer nobody asks for any more.
local oldest, dead, swept = layers[1], 0, false
while layers[dead + 1] ~= newest and now - layers[dead + 1].closed > window do dead = dead + 1 end
if dead > 0 then
  local doomed, size, most = {}, 16 ^ oldest.digits, math.min(MOST, SLICE * dead * dead)
  while #doomed < most and oldest.sweep < size do
    doomed[#doomed + 1] = oldest.prefix .. string.format('%0' .. oldest.digits .. 'x', oldest.sweep)
    oldest.sweep = oldest.sweep + 1
  end
  call('UNLINK', unpack(doomed))
  swept = true
  if oldest.sweep >= size then table.remove(layers, 1) end
end

local asked = {}
for i = #layers - 1, 1, -1 do
  if now - layers[i].closed <= window then asked[#asked + 1] = layers[i] end
end

-- Whether a closed layer holds a mark: 1, 0, or the error of a key that is not a set, with that key.
local function remembered(bucket, mark)
  for j = 1, #asked do
    local layer = asked[j]
    local key = layer.prefix .. sub(bucket, 1, layer.digits)
    local known = pcall('SISMEMBER', key, mark)
    if known ~= 0 then return known, key end
  end
  return 0
end

local results, n, failure, before = {}, 0, false, seq
local prefix, digits, old = newest.prefix, newest.digits, #asked > 0
for i = 4, #ARGV, 2 do
  local token = ARGV[i]
  local key, mark = prefix .. sub(token, 1, digits), sub(token, 7)
  local known, where = 0
  if old then known, where = remembered(token, mark) end
  if known == 0 then
    if seq == before then
      known = pcall('SISMEMBER', key, mark)
    else
      known = pcall('SADD', key, mark)
      if type(known) == 'number' then known = 1 - known end
    end
  end
  if known == 1 then
    n = n + 1
    results[n] = '0'
  elseif known ~= 0 then
    failure = at(known.err, where or key)
    pcall('HSET', state, 'suspect', where or key)
    break
  else
    local added
    if seq < told then
      added = pcall('XADD', stream, '*', 'data', ARGV[i + 1], 'seq', seq + 1, 'lost_to', told)
    else
      added = pcall('XADD', stream, '*', 'data', ARGV[i + 1], 'seq', seq + 1)
    end
    if type(added) == 'table' then
      failure = at(added.err, stream)
      if seq > before then call('SREM', key, mark) end
      break
    end
    if seq == before then call('SADD', key, mark) end
    seq = seq + 1
    if seq <= told then told = seq - 1 end
    n = n + 1
    results[n] = '1'
  end
end
newest.count = newest.count + seq - before

if seq == before and not swept then return {seq, table.concat(results), failure, odd} end
if maxlen > 0 then call('XTRIM', stream, 'MAXLEN', '~', maxlen) end
local parts = {}
for i, l in ipairs(layers) do
  parts[i] = string.format('%d,%d,%d,%d,%d,%d', l.id, l.digits, l.opened, l.closed, l.count, l.sweep)
end
if KEYS[3] then
  call('HSET', state, 'seq', seq)
  call('HSET', home, 'layers', table.concat(parts, ';'))
else
  call('HSET', state, 'seq', seq, 'layers', table.concat(parts, ';'))
end
return {seq, table.concat(results), failure, odd}
