-- Distinct events for wrk, and its figures as one line of JSON.
--
-- wrk … -s wrk_load.lua URL -- HEAD EVENT PREFIX SIZE
--   HEAD    request line and headers, each ended by \r\n, without Content-Length
--   EVENT   one event's JSON, with @ where its event_id belongs
--   PREFIX  the first 24 characters of every event_id of this run; the thread and a counter make up the other 12
--   SIZE    events in a request; more than one are sent as NDJSON
local threads = 0
local counter = 0
local format, concat = string.format, table.concat
local head, before, after, size

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  local event, at = args[2], string.find(args[2], "@", 1, true)
  size = tonumber(args[4])
  before = string.sub(event, 1, at - 1) .. args[3] .. format("%04x", number)
  after = string.sub(event, at + 1)
  local length = size * (#before + 8 + #after) + (size > 1 and size or 0)
  head = args[1] .. "Content-Length: " .. length .. "\r\n\r\n"
  if size == 1 then before = head .. before else after = after .. "\n" end
end

local function one()
  counter = counter + 1
  return before .. format("%08x", counter) .. after
end

function request()
  if size == 1 then return one() end
  local parts = {head}
  for i = 1, size do parts[i + 1] = one() end
  return concat(parts)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(format('{"answers":%d,"bad":%d,"broken":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
