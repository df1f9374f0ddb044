-- What several servers keep of pools in a PostgreSQL database. semad runs this in one transaction where there is no
-- schema `sema`; a database's owner may run it before, so that semad needs no right to create anything (see
-- docs/postgresql.md). Times are microseconds: since 1970, or, on the timeline, since its beginning.

CREATE SCHEMA sema;

CREATE TABLE sema.format (number integer NOT NULL);
INSERT INTO sema.format VALUES (1);

-- A pool that was deleted leaves its fence, and one that was looked for after a commit of unknown outcome a guard.
CREATE TABLE sema.pool (
    pool uuid PRIMARY KEY,
    -- 64 bits, as a signed number; 0: the pool is not there.
    version bigint NOT NULL,
    fence numeric(20) NOT NULL DEFAULT 0,
    -- The word that whoever makes the pool has to know.
    guard text NOT NULL DEFAULT '',
    -- When a guard that stands alone may go.
    guard_ends timestamptz
) WITH (fillfactor = 50);

CREATE INDEX pool_there ON sema.pool (pool) WHERE version <> 0;

-- The fields of a pool that is there: server/store/shared/fields.hpp. The fence is not among them.
CREATE TABLE sema.field (
    pool uuid NOT NULL,
    name text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (pool, name)
) WITH (fillfactor = 50);

-- Who looks for pools with callbacks finds those that have a keeper.
CREATE INDEX field_keeper ON sema.field (pool) WHERE name = 'k';

-- Whose turn it is to change a pool, until when, and who waits for it: `SERVER MICROSECONDS` each, in their order.
-- Nothing is lost with it.
CREATE UNLOGGED TABLE sema.turn (
    pool uuid PRIMARY KEY,
    server text NOT NULL,
    ends bigint NOT NULL,
    waiting text[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- The servers that live, each until then unless it says so again.
CREATE UNLOGGED TABLE sema.server (
    server text PRIMARY KEY,
    ends bigint NOT NULL
) WITH (fillfactor = 50);

-- Where servers serve, and which run of one did so last.
CREATE TABLE sema.place (
    place text PRIMARY KEY,
    server text NOT NULL,
    since timestamptz NOT NULL
);

-- The secret text from which the ids of pools are made that have a name alone.
CREATE TABLE sema.seed (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    seed text NOT NULL
);

-- The timeline is this machine's clock and `ahead`. `seen`: the last time that was as some server expected it.
CREATE TABLE sema.clock (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    ahead bigint NOT NULL DEFAULT 0,
    epoch numeric(20) NOT NULL DEFAULT 0,
    seen bigint
) WITH (fillfactor = 50);
INSERT INTO sema.clock DEFAULT VALUES;

CREATE FUNCTION sema.wall() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp())::numeric * 1000000::numeric)::bigint
$$;

-- A pool and its fields, a row each; one row where it has none, and none where nothing is known of it.
CREATE FUNCTION sema.state(wanted uuid[])
RETURNS TABLE (pool uuid, version bigint, fence numeric, guard text, name text, value bytea)
LANGUAGE sql STABLE AS $$
    SELECT p.pool, p.version, p.fence, p.guard, f.name, f.value
    FROM sema.pool p LEFT JOIN sema.field f ON f.pool = p.pool
    WHERE p.pool = ANY (wanted)
$$;

-- Gives the turn to the first who waits for it and lives. Returns its name, or null.
CREATE FUNCTION sema.pass_on(wanted uuid, server_ text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    now_ bigint := sema.wall();
    names text[];
    name text;
BEGIN
    SELECT waiting INTO names FROM sema.turn WHERE pool = wanted;
    IF NOT FOUND THEN RETURN NULL; END IF;
    WHILE cardinality(names) > 0 LOOP
        name := split_part(names[1], ' ', 1);
        IF name <> server_ AND EXISTS (SELECT FROM sema.server s WHERE s.server = name AND s.ends > now_) THEN
            UPDATE sema.turn SET server = name, ends = now_ + split_part(names[1], ' ', 2)::bigint, waiting = names[2:]
                WHERE pool = wanted;
            RETURN name;
        END IF;
        names := names[2:];
    END LOOP;
    DELETE FROM sema.turn WHERE pool = wanted;
    RETURN NULL;
END
$$;

-- Applies one change to one pool, if the pool is at the change's base.
--
--   result   1: done. 2: it is another server's turn, and this one's is to come. 0: the pool is not at the base, or it
--            is another server's turn; the rows say how it is. 3: this server's time is off by more than a second, and
--            nothing was changed.
--   handed   the server that got the turn
CREATE FUNCTION sema.commit(pool_ uuid, base bigint, next bigint, guard_ text, server_ text, cleared boolean,
    fence_ numeric, now_ bigint, turn_ bigint, names text[], contents bytea[], removed text[])
RETURNS TABLE (result integer, handed text, version bigint, fence numeric, guard text, name text, value bytea)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    is_question boolean := next = base AND base <> 0;
    found_ record;
    holder record;
    is_others boolean;
    is_stale boolean;
BEGIN
    FOR attempt IN 1..2 LOOP
        SELECT p.version, p.guard INTO found_ FROM sema.pool p WHERE p.pool = pool_;
        is_stale := coalesce(found_.version, 0) <> base OR (base = 0 AND coalesce(found_.guard, '') <> guard_);
        SELECT t.server, t.ends - sema.wall() AS left_, t.waiting INTO holder FROM sema.turn t WHERE t.pool = pool_;
        is_others := coalesce(holder.server <> server_ AND holder.left_ > 0 AND holder.left_ < 2000000, false);

        IF is_stale OR (is_others AND NOT is_question) THEN
            IF coalesce(found_.version, 0) <> 0 AND turn_ > 0 THEN
                IF is_others THEN
                    UPDATE sema.turn t SET waiting = t.waiting || (server_ || ' ' || turn_)
                        WHERE t.pool = pool_ AND NOT EXISTS (
                            SELECT FROM unnest(t.waiting) w WHERE split_part(w, ' ', 1) = server_);
                    RETURN QUERY SELECT 2, NULL::text, 0::bigint, 0::numeric, ''::text, NULL::text, NULL::bytea;
                    RETURN;
                END IF;
                INSERT INTO sema.turn AS t (pool, server, ends) VALUES (pool_, server_, sema.wall() + turn_)
                    ON CONFLICT (pool) DO UPDATE SET server = excluded.server, ends = excluded.ends, waiting = ARRAY(
                        SELECT w FROM unnest(t.waiting) WITH ORDINALITY AS u (w, place)
                        WHERE split_part(w, ' ', 1) <> server_ ORDER BY place);
            END IF;
            RETURN QUERY SELECT 0, NULL::text, s.version, s.fence, s.guard, s.name, s.value FROM sema.state(ARRAY[pool_]) s;
            IF NOT FOUND THEN
                RETURN QUERY SELECT 0, NULL::text, 0::bigint, 0::numeric, ''::text, NULL::text, NULL::bytea;
            END IF;
            RETURN;
        END IF;
        handed := NULL;
        IF is_question THEN
            IF holder.server = server_ THEN handed := sema.pass_on(pool_, server_); END IF;
            RETURN QUERY SELECT 1, handed, 0::bigint, 0::numeric, ''::text, NULL::text, NULL::bytea;
            RETURN;
        END IF;
        IF (SELECT abs(sema.wall() + c.ahead - now_) > 1000000 FROM sema.clock c) THEN
            RETURN QUERY SELECT 3, NULL::text, 0::bigint, 0::numeric, ''::text, NULL::text, NULL::bytea;
            RETURN;
        END IF;

        -- From here on the row is locked, where another transaction did not change it since it was read.
        IF base = 0 THEN
            IF next = 0 AND fence_ = 0 THEN
                RETURN QUERY SELECT 1, NULL::text, 0::bigint, 0::numeric, ''::text, NULL::text, NULL::bytea;
                RETURN;
            END IF;
            INSERT INTO sema.pool AS p (pool, version, fence) VALUES (pool_, next, fence_)
                ON CONFLICT (pool) DO UPDATE SET version = next, guard_ends = NULL,
                    fence = CASE WHEN next = 0 THEN greatest(p.fence, fence_) ELSE fence_ END
                WHERE p.version = 0 AND p.guard = guard_;
        ELSE
            UPDATE sema.pool p SET version = next,
                fence = CASE WHEN next = 0 THEN greatest(p.fence, fence_) WHEN fence_ > 0 THEN fence_ ELSE p.fence END
                WHERE p.pool = pool_ AND p.version = base;
        END IF;
        CONTINUE WHEN NOT FOUND;

        IF next = 0 OR cleared THEN
            DELETE FROM sema.field f WHERE f.pool = pool_;
        ELSE
            DELETE FROM sema.field f WHERE f.pool = pool_ AND f.name = ANY (removed);
        END IF;
        INSERT INTO sema.field (pool, name, value) SELECT pool_, n, v FROM unnest(names, contents) AS u (n, v)
            ON CONFLICT (pool, name) DO UPDATE SET value = excluded.value;
        IF next = 0 THEN
            DELETE FROM sema.turn t WHERE t.pool = pool_;
        ELSIF holder.server IS NOT NULL THEN
            handed := sema.pass_on(pool_, server_);
        END IF;
        RETURN QUERY SELECT 1, handed, 0::bigint, 0::numeric, ''::text, NULL::text, NULL::bytea;
        RETURN;
    END LOOP;
    -- Others change it faster than it can be looked at.
    RETURN QUERY SELECT 0, NULL::text, s.version, s.fence, s.guard, s.name, s.value FROM sema.state(ARRAY[pool_]) s;
END
$$;

-- Tells a pool, after it saw to it that no commit which was sent before can be applied any more: a pool that is there
-- gets another version, and whoever makes one that is not must know the new guard.
CREATE FUNCTION sema.reload(pool_ uuid, step bigint, guard_ text)
RETURNS TABLE (pool uuid, version bigint, fence numeric, guard text, name text, value bytea)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO sema.pool AS p (pool, version, guard, guard_ends)
        VALUES (pool_, 0, guard_, clock_timestamp() + interval '1 day')
        ON CONFLICT (pool) DO UPDATE SET guard = guard_, version = CASE
            WHEN p.version = 0 THEN 0
            WHEN p.version > 0 AND p.version > 9223372036854775807 - step OR p.version + step = 0 THEN step
            ELSE p.version + step END;
    RETURN QUERY SELECT * FROM sema.state(ARRAY[pool_]);
END
$$;

-- A server shows that it lives, for `life`; reads the clock; leaves a mark there if that is as expected; and asks
-- which of the others live.
CREATE FUNCTION sema.beat(server_ text, life bigint, expected bigint, epoch_ numeric, neighbours text[])
RETURNS TABLE (wall bigint, ahead bigint, epoch numeric, seen bigint, alive boolean[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_ bigint := sema.wall();
BEGIN
    INSERT INTO sema.server VALUES (server_, now_ + life)
        ON CONFLICT (server) DO UPDATE SET ends = excluded.ends;
    UPDATE sema.clock c SET seen = now_ WHERE c.epoch = epoch_ AND abs(now_ + c.ahead - expected) < 500000;
    RETURN QUERY SELECT sema.wall(), c.ahead, c.epoch, c.seen, ARRAY(
            SELECT EXISTS (SELECT FROM sema.server s WHERE s.server = n AND s.ends > now_)
            FROM unnest(neighbours) WITH ORDINALITY AS u (n, place) ORDER BY place)
        FROM sema.clock c;
END
$$;
