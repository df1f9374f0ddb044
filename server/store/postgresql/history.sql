-- The histories of pools, for all servers together. semad runs this where there is no table sema.history. Times are
-- microseconds on the timeline.

CREATE TABLE sema.history (
    pool uuid NOT NULL,
    -- 0: leases that ended. 1: borrowers who got none. 2: changes of the count, which earlier versions put into 1.
    part smallint NOT NULL,
    at bigint NOT NULL,
    -- A lease's fence; of the rest, a number that is made of the content. Each server that saw a lease end says so, and
    -- all say the same.
    number numeric(20) NOT NULL,
    -- server/store/history_codec.hpp
    content bytea NOT NULL,
    PRIMARY KEY (pool, part, at, number)
);
CREATE INDEX history_at ON sema.history (at);
