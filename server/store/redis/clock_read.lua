-- The server's time as seconds and microseconds; what makes the timeline of it: the microseconds to add, and how often
-- that was corrected; and the last time that was as some server expected it, in microseconds.
--
-- ARGV  1 the time on the timeline that the caller expects, in microseconds, or '' for none; 2 how often it knows the
--       offset corrected; 3 the format of what the store holds, which goes with everything else if somebody empties it
local time = redis.call('TIME')
local clock = redis.call('HMGET', 'sema:clock', 'offset', 'epoch', 'seen')
local epoch = clock[2] or '0'
local now = tonumber(time[1]) * 1e6 + tonumber(time[2])
local timeline = now + tonumber(clock[1] or '0')
if ARGV[2] == epoch and ARGV[1] ~= '' and math.abs(timeline - tonumber(ARGV[1])) < 5e5 then
    -- A server whose memory is full does not take it, and can be read all the same.
    redis.pcall('HSET', 'sema:clock', 'seen', string.format('%.0f', now))
end
redis.pcall('SET', 'sema:format', ARGV[3], 'NX')
return {time[1], time[2], clock[1] or '0', epoch, clock[3] or ''}
