-- Applies one change to one pool, if the pool is at the change's base.
--
-- KEYS[1]  the pool's hash, whose name is that of its channel too
-- ARGV     1 the base, and 2 the next version, in decimal; '0': no pool
--          3 the guard that has to be there for a change from '0'
--          4 the server that commits
--          5 '1' where the rows that there are go first
--          6 the fence that a pool which is gone gets at least
--          7 the time on the store's timeline, as the server takes it, in microseconds
--          8 how long a turn lasts at the most, in microseconds, that is asked for if the change is stale; '0': none is
--          9 how many of the words that follow are fields with their values; the rest are fields to remove
--
-- Returns 2 where it is another server's turn, and this one's is to come; all fields where the pool is not at the base, or
-- it is another server's turn; the index's mark of a pool that went away; otherwise 1. Who is off the time by more than a second, since its machine was halted or the clock was
-- stepped, changes nothing.
--
-- Versions and fences are compared as texts, since a number here has 53 bits.
local key, base, after, guard = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local last_set = 9 + tonumber(ARGV[9])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1e6 + tonumber(time[2])
local found = redis.call('HMGET', key, 'v', 'g', 'f', 'b', 'r', 'k')
local found_guard, fence, born, turns = found[2] or '', found[3] or '0', found[4], found[5]

-- Whose turn it is, and until when; behind that, ';SERVER TURN' of each who waits for it, in their order. Neither the log
-- nor a replica has that: it only saves work.
local holder, ends, waiting = string.match(turns or '', '^(%x+) (%d+)(.*)$')
local left = tonumber(ends or '0') - now
local is_others_turn = holder and holder ~= ARGV[4] and left > 0 and left < 2e6
waiting = waiting or ''

local function set_turns(text)
    redis.set_repl(redis.REPL_NONE)
    if text then redis.call('HSET', key, 'r', text) else redis.call('HDEL', key, 'r') end
    redis.set_repl(redis.REPL_ALL)
end

local function without_me(names)
    return (string.gsub(names, ';' .. ARGV[4] .. ' %d+', ''))
end

-- Gives the turn to the first who waits and can be reached, with all that the pool has.
local function pass_on()
    local names = without_me(waiting)
    if names == '' then
        if turns then set_turns(nil) end
        return
    end
    set_turns(nil)
    local words = redis.call('HGETALL', key)
    for i = 1, #words do words[i] = #words[i] .. ':' .. words[i] end
    local state = string.sub(key, 7, -2) .. ' ' .. table.concat(words)
    for server, turn in string.gmatch(names, ';(%x+) (%d+)') do
        names = string.sub(names, #server + #turn + 3)
        if redis.call('PUBLISH', 'sema:server:' .. server, state) > 0 then
            return set_turns(server .. ' ' .. string.format('%.0f', now + tonumber(turn)) .. names)
        end
    end
end

local is_stale = (found[1] or '0') ~= base or (base == '0' and found_guard ~= guard)
local is_question = after == base and base ~= '0'
if is_stale or (is_others_turn and not is_question) then
    if found[1] and ARGV[8] ~= '0' then
        if is_others_turn then
            if without_me(waiting) == waiting then set_turns(turns .. ';' .. ARGV[4] .. ' ' .. ARGV[8]) end
            return 2
        end
        set_turns(ARGV[4] .. ' ' .. string.format('%.0f', now + tonumber(ARGV[8])) .. without_me(waiting))
    end
    return redis.call('HGETALL', key)
end
if is_question then
    if holder == ARGV[4] then pass_on() end
    return 1
end

local timeline = now + tonumber(redis.call('HGET', 'sema:clock', 'offset') or '0')
if math.abs(timeline - tonumber(ARGV[7])) > 1e6 then
    return redis.error_reply('OFFTIME this server has to set its clock first')
end

-- Whoever looks for pools with callbacks finds those that have a keeper.
local function list_keeper(keeper)
    if keeper == found[6] then return end
    local pool = string.sub(key, 7, -2)
    if keeper then
        redis.call('HSET', 'sema:callbacks', pool, keeper)
    else
        redis.call('HDEL', 'sema:callbacks', pool)
    end
end

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
    list_keeper(false)
    redis.call('PUBLISH', key, '0 ' .. ARGV[4])
    return born or ''
end

if ARGV[5] == '1' and base ~= '0' then
    redis.call('DEL', key)
    redis.call('HSET', key, 'f', fence, 'b', born or '')
    if found[2] then redis.call('HSET', key, 'g', found_guard) end
end
in_parts('HSET', 10, last_set)
in_parts('HDEL', last_set + 1, #ARGV)
list_keeper(redis.call('HGET', key, 'k'))
-- A guard that stood alone was to go one day.
if base == '0' then redis.call('PERSIST', key) end
redis.call('PUBLISH', key, after .. ' ' .. ARGV[4])
pass_on()
return 1
