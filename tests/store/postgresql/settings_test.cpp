#include "server/store/postgresql/postgresql_history.hpp"
#include "tests/store/postgresql/engines.hpp"
#include "tests/support/pooler.hpp"
#include "tests/support/postgresql_server.hpp"

#include <future>

// What an administrator sets, or another client of a pooler leaves set, makes no answer less safe, and
// nothing unreadable.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;
using sema::postgresql::bytes_of;
using sema::postgresql::Commit;
using sema::postgresql::Connection;
using sema::postgresql::from_now;
using sema::postgresql::PostgresqlEngine;
using sema::postgresql::Statement;
using sema::postgresql::transaction;

namespace {

using Outcome = postgresql::Result<std::vector<CommitResult>>;

constexpr auto patient = 20s;
const std::string cancel = "pg_cancel_backend";
const std::string terminate = "pg_terminate_backend";

/// Its commits wait, once it has seen that.
void let_wait_for_a_standby(PostgresqlServer& server) {
    server.configure({"synchronous_standby_names = 'absent'"});
}

/// Changes a pool, and ends its wait for a standby, if there is one, with that function of PostgreSQL's.
Outcome change_without_a_wait(PostgresqlServer& server, PostgresqlEngine& engine, const PoolId& pool,
                              const std::string& function) {
    const std::string found =
        server.query("SELECT version FROM sema.pool WHERE pool = '" + pool.str() + "'").front();
    const Version version = postgresql::parse_version(found).value();
    const TimePoint now(timeline(engine));
    auto outcome = std::async(std::launch::async, [&] {
        return engine.commit({change(pool).from(version).to(version + 1).count(5)}, now, {});
    });
    const bool is_over = eventually([&] {
        server.query("SELECT " + function + "(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        return outcome.wait_for(0s) == std::future_status::ready;
    });
    CHECK(is_over);
    return outcome.get();
}

/// Whether no commit whose wait for a standby is ended counts as done.
void check_no_ended_wait_counts(PostgresqlServer& server, PostgresqlEngine& engine, const PoolId& pool,
                                const std::string& function) {
    std::string why;
    CHECK(eventually([&] {
        const Outcome outcome = change_without_a_wait(server, engine, pool, function);
        if (!outcome) why = outcome.error().why;
        return !outcome;
    }));
    CAPTURE(why);
    if (function == cancel) CHECK(why == "it could not wait for its standby");
}

}  // namespace

TEST_CASE("nothing stays set in the sessions that a pooler lends") {
    const PostgresqlServer server;
    // All clients have the same one.
    const Pooler pooler(server, "transaction", 1);
    Connection other;
    open(other, pooler.url());
    const auto settings = [&] {
        const auto rows = other.exchange({{"SELECT current_setting('synchronous_commit') || ' ' || "
                                           "current_setting('client_min_messages')"}},
                                         from_now(patient));
        REQUIRE(rows);
        return std::string(rows->front().text(0, 0));
    };
    const std::string before = settings();
    const PostgresqlStoreOptions options = options_for(pooler.url(), patient);
    PostgresqlEngine engine(options);
    connect(engine);
    const PoolId pool = PoolId::random();
    make(engine, pool);
    CHECK(settings() == before);
    const auto history = make_postgresql_history(options);
    const TimePoint now(timeline(engine));
    REQUIRE(history->append({{pool, {{.at = now}}}}, {.oldest = now - 1h, .most = 1000}));
    CHECK(settings() == before);
}

TEST_CASE("what another client left set in a session that a pooler lends makes no commit less safe") {
    PostgresqlServer server;
    const Pooler pooler(server, "transaction", 1);
    PostgresqlEngine engine(options_for(pooler.url(), patient));
    connect(engine);
    const PoolId pool = PoolId::random();
    make(engine, pool);
    Connection other;
    open(other, pooler.url());
    REQUIRE(other.exchange({{"SET synchronous_commit = off"}, {"SET client_min_messages = error"}},
                           from_now(patient)));
    let_wait_for_a_standby(server);
    check_no_ended_wait_counts(server, engine, pool, cancel);
}

TEST_CASE("that a wait for a standby was ended is known in any language, and where no warnings are shown") {
    PostgresqlOptions options;
    const std::string which = GENERATE("as it is", "another language", "no warnings");
    CAPTURE(which);
    if (which == "another language") {
        options.program.environment = {{"LANGUAGE", "de"}};
        options.config = {"lc_messages = 'C.UTF-8'"};
    }
    const std::string function = GENERATE(cancel, terminate);
    CAPTURE(function);
    PostgresqlServer server(options);
    if (which == "no warnings") server.query("ALTER ROLE postgres SET client_min_messages = error");
    PostgresqlEngine engine(options_for(server.url(), patient));
    connect(engine);
    const PoolId pool = PoolId::random();
    make(engine, pool);
    let_wait_for_a_standby(server);
    check_no_ended_wait_counts(server, engine, pool, function);
}

TEST_CASE("a transaction is as safe as the administrator wants it, whatever is set in its session") {
    const PostgresqlServer server;
    server.query("ALTER ROLE postgres SET synchronous_commit = local");
    Connection connection;
    open(connection, server.url());
    REQUIRE(connection.exchange({{"SET synchronous_commit = remote_apply"}}, from_now(patient)));
    const std::vector<Statement> question = {{"SELECT current_setting('synchronous_commit')"}};
    const auto answer = [&](const std::vector<Statement>& statements) {
        const auto rows = connection.exchange(statements, from_now(patient));
        REQUIRE(rows);
        return std::string(rows->front().text(0, 0));
    };
    CHECK(answer(transaction(question)) == "local");
    CHECK(answer(transaction(question, Commit::lazy)) == "off");
    CHECK(answer(question) == "remote_apply");
}

TEST_CASE("bytes are read whichever way PostgreSQL writes them") {
    const PostgresqlServer server;
    Connection connection;
    open(connection, server.url());
    std::string all;
    for (int byte = 0; byte < 256; ++byte)
        all += static_cast<char>(byte);
    // And what looks as if it were written.
    for (const std::string& bytes :
         {all, all.substr(128), std::string("\\x41"), std::string("\\"), std::string()}) {
        for (const char* way : {"hex", "escape"}) {
            CAPTURE(way);
            const auto rows =
                connection.exchange({{"SET bytea_output = " + std::string(way)},
                                     {"SELECT unnest($1::bytea[])", {postgresql::array_of_bytes({bytes})}}},
                                    from_now(patient));
            REQUIRE(rows);
            CHECK(bytes_of(rows->front().text(0, 0)) == bytes);
        }
    }
    for (const char* wrong : {"\\x4", "\\x4g", "\\", "\\12", "\\400", "\\abc"}) {
        CAPTURE(wrong);
        CHECK_FALSE(bytes_of(wrong));
    }
}

TEST_CASE("pools and histories are read from a database that writes bytes in the older way") {
    const PostgresqlServer server;
    server.query("ALTER DATABASE postgres SET bytea_output = 'escape'");
    const PostgresqlStoreOptions options = options_for(server.url(), patient);
    PostgresqlEngine engine(options);
    connect(engine);
    const PoolId pool = PoolId::random();
    make(engine, pool);
    HeldSlot slot = some_slot(1);
    slot.holder = std::make_shared<const Holder>(Holder{"\\x41 \xc3\xa4", std::nullopt});
    const TimePoint now(timeline(engine));
    const auto changed = engine.commit({change(pool).from(1).to(2).put(slot)}, now, {});
    REQUIRE(changed);
    REQUIRE(committed(*changed));
    const auto found = engine.load({pool});
    REQUIRE(found);
    const auto* const record = std::get_if<PoolRecord>(&found->front());
    REQUIRE(record);
    REQUIRE(record->slots.size() == 1);
    CHECK(record->slots.front() == slot);
    const auto history = make_postgresql_history(options);
    REQUIRE(history->append({{pool, {{.at = now, .fence = 7}}}}, {.oldest = now - 1h, .most = 1000}));
    std::vector<std::uint64_t> fences;
    const auto take = [&](HistoryEntry&& entry) {
        fences.push_back(entry.fence);
        return true;
    };
    REQUIRE(history->read(pool, HistoryPart::leases, now - 1h, take));
    CHECK(fences == std::vector<std::uint64_t>{7});
}

TEST_CASE("a row that somebody else has locked costs its own pool alone, and no connection") {
    const PostgresqlServer server;
    const PostgresqlStoreOptions options = options_for(server.url(), 5s);
    PostgresqlEngine engine(options);
    connect(engine);
    const PoolId locked = PoolId::random();
    const PoolId free = PoolId::random();
    make(engine, locked);
    make(engine, free);
    Connection other;
    open(other, server.url());
    REQUIRE(other.exchange(
        {{"BEGIN"}, {"SELECT version FROM sema.pool WHERE pool = $1 FOR UPDATE", {locked.str()}}},
        from_now(patient)));
    const TimePoint now(timeline(engine));
    const Outcome refused = engine.commit({change(locked).from(1).to(2).count(5)}, now, {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind == postgresql::Trouble::Kind::refused);
    const Outcome done = engine.commit({change(free).from(1).to(2).count(5)}, now, {});
    REQUIRE(done);
    CHECK(committed(*done));
    REQUIRE(other.exchange({{"ROLLBACK"}}, from_now(patient)));
    const Outcome then = engine.commit({change(locked).from(1).to(2).count(5)}, now, {});
    REQUIRE(then);
    CHECK(committed(*then));
}

TEST_CASE("who may create in another schema of the database runs nothing as semad's user") {
    const PostgresqlServer server;
    server.query(
        "CREATE TABLE public.loot (who text); "
        "CREATE FUNCTION public.of_numbers(numeric, integer) RETURNS numeric LANGUAGE plpgsql AS $$ "
        "BEGIN INSERT INTO public.loot VALUES (current_user); "
        "RETURN $1 OPERATOR(pg_catalog.*) $2::numeric; END $$; "
        "CREATE OPERATOR public.* (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = public.of_numbers); "
        "CREATE FUNCTION public.of_texts(text, bigint) RETURNS text LANGUAGE plpgsql AS $$ "
        "BEGIN INSERT INTO public.loot VALUES (current_user); RETURN $1 OPERATOR(pg_catalog.||) $2::text; "
        "END $$; "
        "CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = bigint, FUNCTION = public.of_texts)");
    const PostgresqlStoreOptions options = options_for(server.url(), patient);
    PostgresqlEngine engine(options);
    PostgresqlEngine other(options);
    connect(engine);
    connect(other);
    const PoolId pool = PoolId::random();
    make(engine, pool);
    CHECK(engine.has_others());
    const TimePoint now(timeline(engine));
    // One gets the turn, and the other waits for it.
    for (PostgresqlEngine* const one : {&engine, &other}) {
        PoolChange late = change(pool).from(7).to(8).count(5);
        late.attempt = 9;
        REQUIRE(one->commit({late}, now, {.after = 1, .time = 1900ms}));
    }
    CHECK(server.query("SELECT waiting FROM sema.turn").front() != "{}");
    CHECK(server.query("SELECT count(*) FROM public.loot").front() == "0");
}
