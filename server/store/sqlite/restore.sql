-- Makes a store of the copy of one, at its first use: the two differ in their application_id ('SEMC' there).
--
-- The store went on after it was copied, so it has given fences that the copy does not know of, and none of
-- them may be given again. Nor may one that was given after the same copy was restored before. So all pools,
-- those too that are made later, go on above the greatest fence of all, and above what a thousand grants a
-- millisecond since the copy was made, and an hour more for a clock that is wrong, would have added to it.
PRAGMA application_id = 0x53454D41;
INSERT OR IGNORE INTO deleted_fence (id, fence) VALUES (1, 0);
UPDATE deleted_fence SET fence = max(fence, (SELECT coalesce(max(fence), 0) FROM pools))
    + 1000 * (3600000 + max(0, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
        - coalesce((SELECT wall_time_us FROM clock_anchor), 0) / 1000));
UPDATE pools SET fence = (SELECT fence FROM deleted_fence);
