-- Distinct events for wrk, and its figures as one line of JSON.
--
-- wrk … -s wrk_load.lua URL -- HEAD EVENT PREFIX SIZE FORM DEPTH DUPLICATES POOL COUNT PROCESSORS KEYS KEY
--   HEAD        request line and headers, each ended by \r\n, without Content-Length and Authorization
--   EVENT       one event's JSON, with @ where its event_id belongs and % where its processor's number belongs
--   PREFIX      the first 24 characters of every new event_id; the thread and a counter make up the other 12
--   SIZE FORM   events in a request; `single`, `array` or `ndjson`
--   DEPTH       requests sent together
--   DUPLICATES  percent of events that are of the pool: 0, 50 (every second one) or 100
--   POOL COUNT  prefix and number of the ids that are stored already
--   PROCESSORS  1, or how many there are, in turn, with four digits
--   KEYS KEY    1, or how many API keys there are, in turn; the first one
local threads = 0
local counter = 0
local format, concat = string.format, table.concat
local open, between, finish = "", "", ""
local head, before, after, middle, size, depth, duplicates, pool, count, processors, keys, key, length, constant

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  local event = args[2]
  local at, percent = string.find(event, "@", 1, true), string.find(event, "%", 1, true)
  size, depth, duplicates = tonumber(args[4]), tonumber(args[6]), tonumber(args[7])
  pool, count, processors, keys, key = args[8], tonumber(args[9]), tonumber(args[10]), tonumber(args[11]), args[12]
  before = string.sub(event, 1, at - 1)
  prefix = args[3] .. format("%04x", number)
  after = string.sub(event, at + 1, percent and percent - 1)
  middle = percent and string.sub(event, percent + 1)
  if args[5] == "array" then open, between, finish = "[", ",", "]" end
  if args[5] == "ndjson" then between, finish = "\n", "\n" end
  local each = #before + 36 + #after + (middle and 4 + #middle or 0)
  length = #open + size * each + (size - 1) * #between + #finish
  head = args[1] .. "Content-Length: " .. length .. "\r\nAuthorization: Bearer "
  constant = head .. key .. "\r\n\r\n"
  -- The common case gets the shortest path: this script must not be the bottleneck.
  if size == 1 and depth == 1 and duplicates == 0 and keys == 1 and not middle then
    local start = constant .. before .. prefix
    request = function()
      counter = counter + 1
      return start .. format("%08x", counter) .. after
    end
  end
end

local function one()
  counter = counter + 1
  local id
  if duplicates == 100 or (duplicates == 50 and counter % 2 == 0) then
    id = pool .. format("%012x", (counter * 7919) % count)
  else
    id = prefix .. format("%08x", counter)
  end
  if middle then return before .. id .. after .. format("%04d", counter % processors) .. middle end
  return before .. id .. after
end

local function message()
  local first = constant
  if keys > 1 then
    local turn = counter % keys
    first = head .. (turn == 0 and key or format("bench-key-%010d", turn)) .. "\r\n\r\n"
  end
  if size == 1 then return first .. one() end
  local events = {}
  for i = 1, size do events[i] = one() end
  return first .. open .. concat(events, between) .. finish
end

function request()
  if depth == 1 then return message() end
  local messages = {}
  for i = 1, depth do messages[i] = message() end
  return concat(messages)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(format('{"answers":%d,"bad":%d,"broken":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"p999_ms":%.3f,' ..
    '"max_ms":%.3f,"octets":%d}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3, summary.bytes))
end
