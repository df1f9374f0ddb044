-- Brings a database of format 5 to format 6, as schema.sql describes it.
ALTER TABLE leases ADD COLUMN waited_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 6;
