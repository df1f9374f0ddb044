-- Lets the timeline go on where it has to be, unless somebody else did so since it was read.
--
-- ARGV  1 the epoch that was read, 2 the time on the timeline, in microseconds, 3 the new epoch
if (redis.call('HGET', 'sema:clock', 'epoch') or '0') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1e6 + tonumber(time[2])
redis.call('HSET', 'sema:clock', 'offset', string.format('%.0f', tonumber(ARGV[2]) - now), 'epoch', ARGV[3], 'seen',
    string.format('%.0f', now))
return 1
