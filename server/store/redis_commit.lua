-- Applies one change to one pool, if the pool is at the change's base.
--
-- KEYS[1]  the pool's hash, whose name is that of its channel too
-- ARGV     1 the base, and 2 the next version, in decimal; '0': no pool
--          3 the guard that has to be there for a change from '0'
--          4 the server that commits
--          5 '1' where the rows that there are go first
--          6 the fence that a pool which is gone gets at least
--          7 the time on the store's timeline, as the server takes it, in microseconds
--          8 how many of the words that follow are fields with their values; the rest are fields to remove
--
-- Returns all fields where the pool is not at the base; the index's mark of a pool that went away; otherwise 1. Who is
-- off the time by more than a second, since its machine was halted or the clock was stepped, changes nothing.
--
-- Versions and fences are compared as texts, since a number here has 53 bits.
local key, base, after, guard = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local last_set = 8 + tonumber(ARGV[8])

local found = redis.call('HMGET', key, 'v', 'g', 'f', 'b')
local found_guard, fence, born = found[2] or '', found[3] or '0', found[4]
if (found[1] or '0') ~= base or (base == '0' and found_guard ~= guard) then
    return redis.call('HGETALL', key)
end

-- Only to be compared.
if after == base and base ~= '0' then return 1 end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1e6 + tonumber(time[2]) + tonumber(redis.call('HGET', 'sema:clock', 'offset') or '0')
if math.abs(now - tonumber(ARGV[7])) > 1e6 then return redis.error_reply('OFFTIME this server has to set its clock first') end

local function greater(a, b)
    if #a == #b then return a > b end
    return #a > #b
end

-- Lua's stack does not take many words at a time.
local function in_parts(command, first, last)
    for from = first, last, 4000 do
        redis.call(command, key, unpack(ARGV, from, math.min(from + 3999, last)))
    end
end

if after == '0' then
    local raised = greater(ARGV[6], fence)
    if raised then fence = ARGV[6] end
    if base == '0' then
        if raised then
            redis.call('HSET', key, 'f', fence)
            redis.call('PERSIST', key)
        end
        return 1
    end
    redis.call('DEL', key)
    if found[2] or fence ~= '0' then
        redis.call('HSET', key, 'f', fence)
        if found[2] then redis.call('HSET', key, 'g', found_guard) end
    end
    redis.call('PUBLISH', key, '0 ' .. ARGV[4])
    return born or ''
end

if ARGV[5] == '1' and base ~= '0' then
    redis.call('DEL', key)
    redis.call('HSET', key, 'f', fence, 'b', born or '')
    if found[2] then redis.call('HSET', key, 'g', found_guard) end
end
in_parts('HSET', 9, last_set)
in_parts('HDEL', last_set + 1, #ARGV)
-- A guard that stood alone was to go one day.
if base == '0' then redis.call('PERSIST', key) end
redis.call('PUBLISH', key, after .. ' ' .. ARGV[4])
return 1
