-- Tells all fields of a pool, after it saw to it that no commit which was sent before can be applied any more: a
-- pool that is there gets another version, and whoever makes one that is not must know the new guard.
--
-- KEYS[1]  the pool's hash, whose name is that of its channel too
-- ARGV     1 what the version grows by, less than 2^40; 2 the new guard; 3 the server that asks; 4 for how many
--          seconds a guard is kept where nothing else is known of the pool
local key = KEYS[1]
local version = redis.call('HGET', key, 'v')
redis.call('HSET', key, 'g', ARGV[2])
if version then
    -- A number here has 53 bits, which is enough for 15 digits and the sum of them and the step.
    local low = tonumber(string.sub(version, -15)) + tonumber(ARGV[1])
    local high = tonumber('0' .. string.sub(version, 1, -16))
    if low >= 1e15 then
        low = low - 1e15
        high = high + 1
    end
    if high > 18446 or (high == 18446 and low > 744073709551615) then
        version = ARGV[1]
    elseif high > 0 then
        version = string.format('%.0f%015.0f', high, low)
    else
        version = string.format('%.0f', low)
    end
    redis.call('HSET', key, 'v', version)
    redis.call('PUBLISH', key, version .. ' ' .. ARGV[3])
elseif redis.call('HEXISTS', key, 'f') == 0 then
    redis.call('EXPIRE', key, ARGV[4])
end
return redis.call('HGETALL', key)
