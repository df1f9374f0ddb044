-- Brings a database of format 3 to format 4, as schema.sql describes it.
ALTER TABLE settings ADD COLUMN pick TEXT NOT NULL DEFAULT 'lowest';
CREATE TABLE out_of_service (
    pool BLOB NOT NULL,
    position INTEGER NOT NULL,
    since_us INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (pool, position)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 4;
