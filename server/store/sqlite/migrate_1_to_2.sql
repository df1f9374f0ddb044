-- Brings a database of format 1 to format 2, as schema.sql describes it. Leases from before fences have 0.
ALTER TABLE pools ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
CREATE TABLE deleted_fence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    fence INTEGER NOT NULL
) STRICT;
CREATE TABLE settings (
    pool BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    cooldown_us INTEGER NOT NULL,
    renewable INTEGER NOT NULL,
    payloads TEXT NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE leases ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN chosen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN holder_name TEXT;
ALTER TABLE leases ADD COLUMN holder_url TEXT;
CREATE TABLE places (
    pool BLOB NOT NULL,
    lease BLOB NOT NULL,
    priority INTEGER NOT NULL,
    arrival INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    queued_at_us INTEGER NOT NULL,
    holder_name TEXT,
    holder_url TEXT,
    PRIMARY KEY (pool, lease)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
