-- Brings a database of format 4 to format 5, as schema.sql describes it.
ALTER TABLE leases ADD COLUMN callback TEXT;
ALTER TABLE leases ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN next_attempt_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN last_error TEXT;
ALTER TABLE places ADD COLUMN callback TEXT;
ALTER TABLE places ADD COLUMN ttl_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE places ADD COLUMN deadline_us INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 5;
