-- Brings a database of format 2 to format 3, as schema.sql describes it.
CREATE TABLE pool_seed (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seed TEXT NOT NULL
) STRICT;
PRAGMA user_version = 3;
