-- Replaces the timeline's offset, unless somebody else did so since it was read.
--
-- ARGV  1 the epoch that was read, 2 the new offset, 3 the new epoch
if (redis.call('HGET', 'sema:clock', 'epoch') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', 'sema:clock', 'offset', ARGV[2], 'epoch', ARGV[3])
return 1
