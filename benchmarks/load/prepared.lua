-- Requests made before, for wrk: each is sent once; figures as one line of JSON, as wrk.lua has them.
--
-- wrk -t1 … -s prepared.lua URL -- FILE
--   FILE   requests, each after its length in bytes and a line end
local requests, sent = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for size in file:lines() do
    requests[#requests + 1] = file:read(tonumber(size))
  end
  file:close()
end

function request()
  sent = sent + 1
  return requests[sent] or requests[1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"answers":%d,"bad":%d,"broken":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"octets":%d}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, summary.bytes))
end
