-- The database of a semad: what is written here outlives the server. To look at it with the sqlite3
-- program, stop the server first (it locks the file), or take a copy.
--
-- Ids are UUIDs in their 16 bytes: hex(id) shows them. They are secrets: who knows a pool's id may use
-- the pool. Columns whose names end in _us are microseconds.

-- Marks the file as a semad's ('SEMA' in ASCII), and the format that this text describes. A server
-- refuses a file with another mark or a later format.
PRAGMA application_id = 0x53454D41;
PRAGMA user_version = 1;

-- The pools there are.
CREATE TABLE pools (
    id BLOB NOT NULL PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The held slots. The primary key is what keeps two leases off one slot. A position may be at or above
-- the pool's count: the pool was made smaller while that slot was held. A lease whose time has passed
-- stays here until its slot is lent again or the pool is deleted: time alone writes nothing.
--
-- granted_at_us and expires_at_us are points on the server's own timeline, which clock_anchor relates to
-- the time of day. ttl_us is how long the lease was asked for.
CREATE TABLE leases (
    pool BLOB NOT NULL,
    position INTEGER NOT NULL,
    lease BLOB NOT NULL,
    granted_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    ttl_us INTEGER NOT NULL,
    PRIMARY KEY (pool, position)
) STRICT, WITHOUT ROWID;

-- One moment, read on every clock: the server's timeline, the time since the machine's boot `boot_id`, and
-- the time of day (since 1970, UTC). From it a restarted server knows how long it was away. At most one row.
CREATE TABLE clock_anchor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id TEXT NOT NULL,
    boot_time_us INTEGER NOT NULL,
    wall_time_us INTEGER NOT NULL,
    timeline_us INTEGER NOT NULL
) STRICT;
