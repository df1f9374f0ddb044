-- The database of a semad: what is written here outlives the server. To look at it with the sqlite3
-- program, stop the server first (it locks the file), or take a copy.
--
-- Ids are UUIDs in their 16 bytes: hex(id) shows them. They are secrets: to know a pool's id is to have
-- the use of the pool. Columns whose names end in _us are microseconds.

-- Marks the file as a semad's ('SEMA' in ASCII), and the format that this text describes. A server
-- refuses a file with another mark or a later format.
PRAGMA application_id = 0x53454D41;
PRAGMA user_version = 6;

-- The pools there are. No lease of the pool has a fence above `fence`: it is raised in large steps, and not
-- by every grant.
CREATE TABLE pools (
    id BLOB NOT NULL PRIMARY KEY,
    count INTEGER NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The greatest `fence` of all pools that were deleted, so that a pool that is made again goes on above the
-- one that had its id before. At most one row.
CREATE TABLE deleted_fence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    fence INTEGER NOT NULL
) STRICT;

-- What pools have beside their count, for those where anything was ever set (common/pool_settings.hpp).
-- `payloads` has a line per position, each of which is the JSON text of a string or an object.
CREATE TABLE settings (
    pool BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    cooldown_us INTEGER NOT NULL,
    renewable INTEGER NOT NULL,
    payloads TEXT NOT NULL,
    pick TEXT NOT NULL DEFAULT 'lowest'
) STRICT, WITHOUT ROWID;

-- The held slots: a lease of several slots has a row for each. The primary key is what keeps two leases off
-- one slot. A position may be at or above the pool's count: the pool was made smaller while that slot was
-- held. A lease whose time has passed stays here until its slot is lent again or the pool is deleted: time
-- alone writes nothing.
--
-- granted_at_us and expires_at_us are points on the server's own timeline, which clock_anchor relates to
-- the time of day. ttl_us is how long the lease was asked for; 0 says that it was ended at expires_at_us, and
-- that the slot rests, or is idle, since. `chosen` is 1 where the borrower chose the lease's id. The first slot of a lease
-- names its holder. waited_us is how long its borrower waited for it, and `priority` with what priority.
--
-- Where the borrower is to be called, and was not reached yet, the first slot has `callback` too: JSON with an
-- address, and perhaps with secrets (Callback in common/wire.hpp). Then `attempts` failed so far, the last one
-- for the reason in last_error, and the next one comes at next_attempt_us.
CREATE TABLE leases (
    pool BLOB NOT NULL,
    position INTEGER NOT NULL,
    lease BLOB NOT NULL,
    granted_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    ttl_us INTEGER NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0,
    chosen INTEGER NOT NULL DEFAULT 0,
    holder_name TEXT,
    holder_url TEXT,
    callback TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_us INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    waited_us INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, position)
) STRICT, WITHOUT ROWID;

-- The places in the queue of borrowers who chose their lease's id, and so may come back for it. The queue is
-- in the order of descending priority, then of ascending arrival. Where the borrower is to be called, `callback`
-- says how, ttl_us how long a lease it asked for, and deadline_us until when it waits.
CREATE TABLE places (
    pool BLOB NOT NULL,
    lease BLOB NOT NULL,
    priority INTEGER NOT NULL,
    arrival INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    queued_at_us INTEGER NOT NULL,
    holder_name TEXT,
    holder_url TEXT,
    callback TEXT,
    ttl_us INTEGER NOT NULL DEFAULT 0,
    deadline_us INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, lease)
) STRICT, WITHOUT ROWID;

-- The slots that are out of service, since when, and why (empty: nobody said).
CREATE TABLE out_of_service (
    pool BLOB NOT NULL,
    position INTEGER NOT NULL,
    since_us INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (pool, position)
) STRICT, WITHOUT ROWID;

-- The secret from which the ids of pools are made that the configuration file declares by their names alone.
-- At most one row, which is never changed.
CREATE TABLE pool_seed (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seed TEXT NOT NULL
) STRICT;

-- One moment, read on every clock: the server's timeline, the time since the machine's boot `boot_id`, and
-- the time of day (since 1970, UTC). From it a restarted server knows how long it was away. At most one row.
CREATE TABLE clock_anchor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id TEXT NOT NULL,
    boot_time_us INTEGER NOT NULL,
    wall_time_us INTEGER NOT NULL,
    timeline_us INTEGER NOT NULL
) STRICT;
