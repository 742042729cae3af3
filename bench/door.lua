-- wrk's script: sends the requests of a file one after the other, and says how it went as one line of JSON.
local requests = {}
at, wrapped = 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*l")
    if not length then break end
    requests[#requests + 1] = file:read(tonumber(length))
  end
  file:close()
end

function request()
  at = at + 1
  if at > #requests then at, wrapped = 1, wrapped + 1 end
  return requests[at]
end

local thread_of = nil
function setup(thread) thread_of = thread end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "duration_s": %.6f, "not_2xx": %d, "broken": %d, "taken": %d, "wrapped": %d, "p50_us": %d, "p99_us": %d}',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    thread_of:get("at"), thread_of:get("wrapped"), latency:percentile(50), latency:percentile(99)))
end
