-- Two semaphores as people build them on a PostgreSQL, to be measured beside semad on the same server.

-- Advisory locks: slot N of a pool is the lock N. They are in memory and end with their session; nothing is committed.
-- Whoever finds all of them taken waits at one of them.
CREATE FUNCTION take_advisory(slots int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    first int := floor(random() * slots);
    slot int;
BEGIN
    FOR i IN 0 .. least(slots, 16) - 1 LOOP
        slot := (first + i) % slots;
        IF pg_try_advisory_lock(slot) THEN
            RETURN slot;
        END IF;
    END LOOP;
    PERFORM pg_advisory_lock(first);
    RETURN first;
END
$$;

-- Rows: a slot is taken by whoever writes its lease into it, and rows that others are about to write are passed over.
-- Whoever finds none looks again after 2 ms, in another transaction: a look may leave rows locked.
CREATE TABLE slot (
    slots int,
    position int,
    lease uuid,
    ends timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (slots, position)
);
CREATE INDEX ON slot (slots, ends);
INSERT INTO slot (slots, position)
SELECT size, position FROM (VALUES (4), (1000)) AS pool (size), generate_series(0, size - 1) AS position;

CREATE PROCEDURE take_row(pool int, INOUT taken int, INOUT lease_id uuid) LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz := clock_timestamp();
BEGIN
    LOOP
        UPDATE slot SET lease = gen_random_uuid(), ends = clock_timestamp() + interval '1 minute'
        WHERE slots = pool AND position = (
            SELECT position FROM slot WHERE slots = pool AND ends < clock_timestamp()
            LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING position, lease INTO taken, lease_id;
        EXIT WHEN FOUND;
        COMMIT;
        -- Or a client that is gone would leave it looking for ever.
        IF clock_timestamp() > begun + interval '30 seconds' THEN
            RAISE EXCEPTION 'no slot in 30 s';
        END IF;
        PERFORM pg_sleep(0.002);
        COMMIT;
    END LOOP;
END
$$;
