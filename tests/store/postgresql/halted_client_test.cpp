#include "tests/store/postgresql/engines.hpp"
#include "tests/support/postgresql_server.hpp"
#include "tests/support/proxy.hpp"

// A server that is halted, or cut off, in the middle of what it says to a PostgreSQL holds up no other.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;
using sema::postgresql::Connection;
using sema::postgresql::PostgresqlEngine;

namespace {

/// A PostgreSQL, a client of it whose connections may be cut, and another client.
struct World {
    World() { connect(other); }

    /// Connections that are made from now on are whole.
    void mend() {
        proxy.become(Proxy::State::cutting);
        proxy.become(Proxy::State::open);
    }

    const PostgresqlServer server;
    Proxy proxy{server.port()};
    PostgresqlEngine other{options_for(server.url(), 5s)};
    PostgresqlEngine client{
        options_for("postgresql://postgres@" + proxy.host_and_port() + "/postgres", 100ms)};
};

/// Changes the pool, which takes the lock of its row. Returns its version.
Version next_version(PostgresqlEngine& engine, const PoolId& pool) {
    const auto found = engine.reload(pool, 1);
    REQUIRE(found);
    return std::get<PoolRecord>(*found).version;
}

}  // namespace

TEST_CASE("a batch of which only a part arrives keeps no other server from its pools") {
    World world;
    const PoolId pools[] = {PoolId::random(), PoolId::random()};
    for (const PoolId& pool : pools)
        make(world.other, pool);
    // Ever more of it arrives, until it is applied.
    bool is_applied = false;
    for (std::size_t bytes = 0; !is_applied; bytes += 50) {
        CAPTURE(bytes);
        REQUIRE(bytes < 10'000);
        std::vector<PoolChange> batch;
        for (const PoolId& pool : pools) {
            const Version version = next_version(world.other, pool);
            batch.push_back(change(pool).from(version).to(version + 1000).put(some_slot(1)));
        }
        const TimePoint now(timeline(world.other));
        connect(world.client);
        world.proxy.become(Proxy::State::holding, bytes);
        static_cast<void>(world.client.commit(batch, now, {}));
        for (const PoolChange& change : batch)
            is_applied = next_version(world.other, change.pool) > change.next;
        world.mend();
    }
}

TEST_CASE("a heartbeat of which only a part arrives keeps no other server from its own") {
    World world;
    // One that finds the clock as it expects it leaves a mark there.
    const auto beats = [](PostgresqlEngine& engine, Duration expected) {
        return engine.beat({.expected = expected}).has_value();
    };
    bool is_whole = false;
    for (std::size_t bytes = 0; !is_whole; bytes += 20) {
        CAPTURE(bytes);
        REQUIRE(bytes < 10'000);
        connect(world.client);
        const Duration expected = timeline(world.other);
        world.proxy.become(Proxy::State::holding, bytes);
        is_whole = beats(world.client, expected);
        REQUIRE(beats(world.other, timeline(world.other)));
        world.mend();
    }
}

TEST_CASE("a client that reads no more keeps no pool locked, and is given up") {
    World world;
    const PoolId small = PoolId::random();
    const PoolId big = PoolId::random();
    make(world.other, small);
    make(world.other, big);
    // More than the buffers between the two have room for.
    world.server.query("INSERT INTO sema.field SELECT '" + big.str() +
                       "', 'x' || i, decode(repeat('ab', 1000000), 'hex') FROM generate_series(1, 16) i");
    connect(world.client);
    const TimePoint now(timeline(world.other));
    world.proxy.become(Proxy::State::stuck);
    const auto change_all = [&] {
        CHECK_NOTHROW(
            world.server.query("SET lock_timeout = '5s'; UPDATE sema.pool SET version = version + 1"));
    };
    SECTION("a batch with a change that comes too late") {
        const auto version = [&] {
            return world.server.query("SELECT version FROM sema.pool WHERE pool = '" + small.str() + "'")
                .front();
        };
        CHECK_FALSE(world.client.commit(
            {change(small).from(1).to(2).count(5), change(big).from(7).to(8).count(5)}, now, {}));
        CHECK(eventually([&] { return version() == "2"; }));
        change_all();
    }
    SECTION("a pool that is read anew") {
        const auto is_stuck = [&] {
            return world.server
                       .query("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'")
                       .front() == "1";
        };
        CHECK_FALSE(world.client.reload(big, 1));
        REQUIRE(eventually(is_stuck));
        change_all();
        CHECK(eventually([&] { return !is_stuck(); }));
    }
}

TEST_CASE("PostgreSQL gives up a client that cannot be reached within ten seconds") {
    const PostgresqlServer server;
    Connection connection;
    const auto settings = [&](const std::string& url) {
        open(connection, url);
        const auto rows = connection.exchange(
            {{"SELECT current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'), "
              "current_setting('tcp_user_timeout')"}},
            postgresql::from_now(5s));
        REQUIRE(rows);
        std::string text;
        for (int column = 0; column < 3; ++column)
            text += std::string(rows->front().text(0, column)) + " ";
        return text;
    };
    CHECK(settings(server.url()) == "4 2 10000 ");
    // There it means nothing.
    CHECK(settings("postgresql://postgres@/postgres?host=" + server.folder().string() +
                   "&port=" + std::to_string(server.port())) == "0 0 0 ");
}

TEST_CASE("what is sent to a PostgreSQL arrives as it is, whatever is in it") {
    const PostgresqlServer server;
    Connection connection;
    open(connection, server.url());
    const std::string text = R"(it's "this" \ that, \' $1 $$;)";
    for (const char* setting : {"on", "off"}) {
        CAPTURE(setting);
        // It counts from the next message on.
        REQUIRE(connection.exchange({{"SET standard_conforming_strings = " + std::string(setting)}},
                                    postgresql::from_now(5s)));
        const auto rows = connection.exchange({{"SELECT $2, $1, $3::text", {text, "plain", std::nullopt}}},
                                              postgresql::from_now(5s));
        REQUIRE(rows);
        CHECK(rows->front().text(0, 0) == "plain");
        CHECK(rows->front().text(0, 1) == text);
        CHECK(rows->front().is_null(0, 2));
    }
}

TEST_CASE("what fails once it is committed was not refused") {
    const PostgresqlServer server;
    Connection connection;
    const auto trouble_of = [&](const std::string& sql) {
        open(connection, server.url());
        const auto rows = connection.exchange({{sql}}, postgresql::from_now(5s));
        REQUIRE_FALSE(rows);
        return rows.error().kind;
    };
    CHECK(trouble_of("BEGIN; SELECT 1 / 0; COMMIT") == shared::Trouble::Kind::refused);
    CHECK(connection.is_open());
    CHECK(trouble_of("BEGIN; COMMIT; SELECT 1 / 0") == shared::Trouble::Kind::away);
    CHECK_FALSE(connection.is_open());
}
