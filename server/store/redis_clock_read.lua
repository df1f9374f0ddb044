-- The server's time as seconds and microseconds, and what makes the timeline of it: the microseconds to add, and how
-- often that was corrected.
local time = redis.call('TIME')
local clock = redis.call('HMGET', 'sema:clock', 'offset', 'epoch')
return {time[1], time[2], clock[1] or '0', clock[2] or '0'}
