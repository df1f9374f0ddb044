-- wrk: every connection borrows a slot and returns it, over and over.
--
--   wrk ... -s borrow_return.lua http://HOST:PORT -- POOL
--
-- The connections of a thread share this state, and their answers come in any order. A lease that was
-- granted goes onto the thread's list, and whichever connection is next takes it from there to return it;
-- while the list is empty, connections borrow. So each lease is returned exactly once, and a thread has at
-- most as many slots as it has connections. When wrk stops, up to one call per connection is cut off; such
-- leases end with their ttl.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  borrow = wrk.format("POST", "/l/" .. args[1] .. "/borrow", headers, '{"ttl":5,"wait":0}')
  return_target = "/l/" .. args[1] .. "/return"
  return_headers = headers
  leases = {}
  borrowed, returned, conflicts, bad = 0, 0, 0, 0
  first_bad = ""
end

function request()
  local lease = table.remove(leases)
  if not lease then
    return borrow
  end
  return wrk.format("POST", return_target, return_headers, '{"lease":"' .. lease .. '"}')
end

function response(status, headers, body)
  local lease = status == 200 and body:match('"lease":"([^"]+)"')
  if lease then
    borrowed = borrowed + 1
    table.insert(leases, lease)
  elseif status == 200 and body:find('"returned":true', 1, true) then
    returned = returned + 1
  elseif status == 409 then
    conflicts = conflicts + 1
  else
    bad = bad + 1
    first_bad = status .. " " .. body
  end
end

-- The last line of the output, in the form in which script/bench reads all figures.
function done(summary, latency, requests)
  local sum = { borrowed = 0, returned = 0, conflicts = 0, bad = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(sum) do
      sum[name] = sum[name] + thread:get(name)
    end
    if thread:get("bad") > 0 then
      io.stderr:write("an answer that should not be: " .. thread:get("first_bad") .. "\n")
    end
  end
  local errors = summary.errors
  io.write(string.format("pairs_per_second=%.1f borrowed=%d returned=%d conflicts=%d bad=%d\n",
    sum.returned / (summary.duration / 1e6), sum.borrowed, sum.returned, sum.conflicts,
    sum.bad + errors.connect + errors.read + errors.write + errors.timeout))
end
