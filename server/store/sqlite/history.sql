-- The histories of pools, beside the database that schema.sql describes. Whoever removes this file loses
-- nothing else. Columns whose names end in _us are microseconds, on the timeline of that database.

-- 'SEMH' in ASCII, and the format that this text describes.
PRAGMA application_id = 0x53454D48;
PRAGMA user_version = 1;

-- What was written of one pool at a time, in the order of writing. `part` is 0 for leases that ended, 1 for
-- borrowers who got none, 2 for changes of the count, which earlier versions put into 1. ended_us is the time
-- of the last of its entries, which server/store/history_codec.hpp describes.
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    pool BLOB NOT NULL,
    part INTEGER NOT NULL,
    ended_us INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX chunks_of_pool ON chunks (pool, part, ended_us);

-- How many entries there are of each.
CREATE TABLE totals (
    pool BLOB NOT NULL,
    part INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (pool, part)
) STRICT, WITHOUT ROWID;
