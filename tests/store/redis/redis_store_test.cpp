#include "server/store/redis/redis_store.hpp"

#include "tests/store/redis/redis_stores.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/forked_child.hpp"
#include "tests/support/recording_listener.hpp"
#include "tests/support/redis_server.hpp"
#include "tests/support/store_changes.hpp"

#include <chrono>

// What a store on Redis promises beyond what every store does: tests/contract asks for that.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

using Clock = std::chrono::steady_clock;

const PoolId pool = PoolId::random();
const std::string pool_key = "sema:{" + pool.str() + "}";

}  // namespace

TEST_CASE("a row keeps what only a shared store has of it") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    HeldSlot slot = some_slot(3);
    slot.answers = 0;
    slot.full_end = TimePoint(-5s);
    slot.server = ServerId{~std::uint64_t{0}};
    KeptPlace place = some_place(1);
    place.chosen = false;
    place.server = ServerId{0xfedcba9876543210};
    place.deadline = TimePoint::max();
    place.cancelled = true;
    REQUIRE(
        committed(commit(*store, {change(pool).to(1).count(4).put(slot).put(some_slot(0)).queue(place)})));

    const PoolRecord record = loaded(*open_patiently(redis.url()), pool);
    REQUIRE(record.slots.size() == 2);
    CHECK(record.slots[0].answers == 1);
    CHECK_FALSE(record.slots[0].full_end);
    CHECK(record.slots[1].answers == 0);
    CHECK(record.slots[1].full_end == TimePoint(-5s));
    CHECK(record.slots[1].server == slot.server);
    REQUIRE(record.places.size() == 1);
    CHECK_FALSE(record.places[0].chosen);
    CHECK(record.places[0].server == place.server);
    CHECK(record.places[0].deadline == TimePoint::max());
    CHECK(record.places[0].cancelled);
}

TEST_CASE("a change of more rows than Lua's stack has room for is applied whole") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    auto full = change(pool).to(1).count(20'000);
    auto empty = change(pool).from(1).to(2);
    for (Position position = 0; position < 20'000; ++position) {
        full.put(some_slot(position));
        if (position != 7) empty.drop(position);
    }
    REQUIRE(committed(commit(*store, {full})));
    CHECK(loaded(*store, pool).slots.size() == 20'000);
    REQUIRE(committed(commit(*store, {empty})));
    CHECK(loaded(*store, pool).slots.size() == 1);
}

TEST_CASE("a stale change is told the pool as it is") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    const auto other = open_patiently(redis.url());
    const HeldSlot slot = some_slot(1);
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4).put(slot)})));
    const PoolId gone = PoolId::random();
    REQUIRE(committed(commit(*store, {change(gone).to(1).count(4).fence(70)})));
    REQUIRE(committed(commit(*store, {change(gone).from(1).to(0).clear()})));

    const auto results =
        commit(*other, {change(pool).from(9).to(10).count(1), change(gone).from(1).to(2).count(1)});
    REQUIRE(std::holds_alternative<Stale>(results[0]));
    const auto& now = std::get<Stale>(results[0]).now;
    REQUIRE(now);
    REQUIRE(std::holds_alternative<PoolRecord>(*now));
    CHECK(std::get<PoolRecord>(*now).version == 1);
    CHECK(std::get<PoolRecord>(*now).slots == std::vector{slot});
    REQUIRE(std::holds_alternative<Stale>(results[1]));
    const auto& absent_now = std::get<Stale>(results[1]).now;
    REQUIRE(absent_now);
    REQUIRE(std::holds_alternative<Absent>(*absent_now));
    CHECK(std::get<Absent>(*absent_now).fence == 70);
}

TEST_CASE("a pool that somebody else made leaves no trace of the one that was not made") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    REQUIRE(committed(commit(*store, {change(pool).to(5).count(4)})));
    CHECK(stale(commit(*store, {change(pool).to(6).count(4)})));
    CHECK(store->pool_count().value() == 1);
    CHECK(stale(commit(*store, {change(pool).to(5).count(4)})));
    CHECK(store->pool_count().value() == 1);
    CHECK(store->pools_after(std::nullopt, 10).value() == std::vector{pool});
}

TEST_CASE("a mark of the index without its pool is passed over") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    REQUIRE(committed(commit(*store, {change(pool).to(5).count(4)})));
    for (int i = 0; i < 3; ++i) {
        redis.command({"ZADD", "sema:pools", "0", PoolId::random().str() + "0000000000000001"});
        redis.command({"ZADD", "sema:pools", "0", pool.str() + "000000000000000" + std::to_string(i)});
    }
    CHECK(store->pools_after(std::nullopt, 10).value() == std::vector{pool});
    CHECK(store->pools_after(std::nullopt, 1).value() == std::vector{pool});
    CHECK(store->pools_after(pool, 10).value().empty());
}

TEST_CASE("a thousand pools are listed over several pages") {
    const RedisServer redis({"redis", {"appendfsync no"}, {}, "127.0.0.1", 0});
    const auto store = open_patiently(redis.url());
    std::vector<PoolId> ids;
    std::vector<PoolChange> batch;
    for (int i = 0; i < 1200; ++i) {
        ids.push_back(PoolId::random());
        HeldSlot slot = some_slot(0);
        slot.chosen = true;
        batch.push_back(change(ids.back()).to(1).count(1).put(slot));
    }
    REQUIRE(committed(commit(*store, batch)));
    std::sort(ids.begin(), ids.end());
    CHECK(store->pools_after(std::nullopt, 5000).value() == ids);
    CHECK(store->pools_after(std::nullopt, 700).value() == std::vector(ids.begin(), ids.begin() + 700));
    CHECK(store->chosen_leases().value().size() == 1200);
}

TEST_CASE("scripts that Redis forgot are given to it again") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    redis.command({"SCRIPT", "FLUSH"});
    CHECK(committed(
        commit(*store, {change(pool).from(1).to(2).count(5), change(PoolId::random()).to(1).count(1)})));
    CHECK(loaded(*store, pool).version == 2);
    CHECK(store->pool_count().value() == 2);
}

TEST_CASE("whoever follows a pool is told of the others' changes, and not of its own") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    Proxy proxy(redis.port());
    const auto other = open_patiently(through(proxy));
    const PoolId unfollowed = PoolId::random();
    RecordingListener listener;
    const Listening listening(*store, listener);
    store->follow(pool);
    store->follow(pool);
    REQUIRE(eventually([&] { return redis.command({"PUBSUB", "NUMSUB", pool_key})[1] == "1"; }));

    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    REQUIRE(committed(commit(*other, {change(unfollowed).to(1).count(4)})));
    REQUIRE(committed(commit(*other, {change(pool).from(1).to(1)})));
    REQUIRE(stale(commit(*other, {change(pool).from(9).to(10).count(1)})));
    REQUIRE(committed(commit(*other, {change(pool).from(1).to(2).count(5)})));
    CHECK(listener.hears_of(pool, 2));
    lose_commit(*other, proxy, pool);
    const Version after_reload = reloaded(*other, pool).version;
    CHECK(listener.hears_of(pool, after_reload));
    REQUIRE(committed(commit(*other, {change(pool).from(after_reload).to(0).clear()})));
    CHECK(listener.hears_of(pool, 0));
    using Change = RecordingListener::Change;
    CHECK(listener.changes() == std::vector<Change>{{pool, 2}, {pool, after_reload}, {pool, 0}});

    store->unfollow(pool);
    CHECK(eventually([&] { return redis.command({"PUBSUB", "NUMSUB", pool_key})[1] == "0"; }));
}

TEST_CASE("a store that ends says so, and counts as lost at once") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    RecordingListener listener;
    const Listening listening(*store, listener);
    CHECK(store->is_lost(ServerId{}));
    CHECK_FALSE(store->is_lost(store->self()));
    auto other = open_patiently(redis.url());
    const ServerId id = other->self();
    CHECK(id != store->self());
    CHECK_FALSE(store->is_lost(id));
    const auto before = Clock::now();
    other.reset();
    CHECK(listener.loses(id));
    // By its silence alone it would be found after more than two.
    CHECK(Clock::now() - before < 2s);
    CHECK(store->is_lost(id));
}

TEST_CASE("a server that was never seen counts as lost after a while") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    RecordingListener listener;
    const Listening listening(*store, listener);
    const auto before = Clock::now();
    CHECK_FALSE(store->is_lost(ServerId{12345}));
    CHECK(listener.loses(ServerId{12345}));
    CHECK(Clock::now() - before >= 1500ms);
    CHECK(store->is_lost(ServerId{12345}));
    CHECK(listener.lost_servers().size() == 1);
}

TEST_CASE("a server that is killed counts as lost within three seconds, and one that lives does not",
          "[alone]") {
    const RedisServer redis;
    ForkedChild killed([&](const ForkedChild::Report& report) {
        const auto store = open_patiently(redis.url());
        report(std::to_string(static_cast<std::uint64_t>(store->self())));
        pause();
    });
    const ServerId id{std::stoull(killed.next_line().value())};
    const auto store = open_patiently(redis.url());
    const auto living = open_patiently(redis.url());
    RecordingListener listener;
    const Listening listening(*store, listener);
    CHECK_FALSE(store->is_lost(id));
    CHECK_FALSE(store->is_lost(living->self()));
    REQUIRE_FALSE(eventually([&] { return store->is_lost(id); }, 2500ms));
    killed.kill();
    const auto before = Clock::now();
    CHECK(listener.loses(id));
    const auto took = Clock::now() - before;
    CHECK(took >= 1500ms);
    CHECK(took < 3s);
    CHECK_FALSE(store->is_lost(living->self()));
    CHECK(listener.lost_servers() == std::vector{id});
}

TEST_CASE("a server that did not run for a while is told that it may have missed something") {
    const RedisServer redis;
    ForkedChild child([&](const ForkedChild::Report& report) {
        const auto store = open_patiently(redis.url());
        RecordingListener listener;
        const Listening listening(*store, listener);
        report(std::to_string(getpid()));
        report(std::to_string(static_cast<std::uint64_t>(store->self())));
        if (eventually([&] { return listener.times_reached() > 0; })) report("reached");
        if (store->reachable()) report("reachable");
    });
    const pid_t process = std::stoi(child.next_line().value());
    const ServerId id{std::stoull(child.next_line().value())};
    const auto store = open_patiently(redis.url());
    RecordingListener listener;
    const Listening listening(*store, listener);
    CHECK_FALSE(store->is_lost(id));
    halt(process);
    CHECK(listener.loses(id));
    kill(process, SIGCONT);
    CHECK(child.next_line() == "reached");
    CHECK(child.next_line() == "reachable");
}

TEST_CASE("a server that was lost and is back is not lost any more") {
    const RedisServer redis;
    ForkedChild child([&](const ForkedChild::Report& report) {
        const auto store = open_patiently(redis.url());
        report(std::to_string(getpid()));
        report(std::to_string(static_cast<std::uint64_t>(store->self())));
        pause();
    });
    const pid_t process = std::stoi(child.next_line().value());
    const ServerId id{std::stoull(child.next_line().value())};
    const auto store = open_patiently(redis.url());
    CHECK_FALSE(store->is_lost(id));
    for (int round = 0; round < 2; ++round) {
        halt(process);
        REQUIRE(eventually([&] { return store->is_lost(id); }));
        kill(process, SIGCONT);
        REQUIRE(eventually([&] { return !store->is_lost(id); }));
    }
}

TEST_CASE("the time of all servers is the store's, and goes on evenly") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    const auto other = open_patiently(redis.url());
    const auto micros = [](const std::vector<std::string>& time) {
        return Duration(std::stoll(time[0]) * 1'000'000 + std::stoll(time[1]));
    };
    // Never ahead, and close behind once an answer was quick.
    CHECK(eventually([&] {
        const auto before = redis.command({"TIME"});
        const TimePoint now = store->now();
        const auto after = redis.command({"TIME"});
        REQUIRE(store->unix_time(now) <= micros(after));
        return store->unix_time(now) >= micros(before) - 50ms && other->now() >= now - 50ms;
    }));
    TimePoint last = store->now();
    for (int i = 0; i < 100'000; ++i) {
        const TimePoint next = store->now();
        REQUIRE(next >= last);
        last = next;
    }
}

TEST_CASE("what was committed before a reload and did not come to pass never does") {
    const RedisServer redis;
    Proxy proxy(redis.port());
    const auto store = open_patiently(through(proxy));
    const auto other = open_patiently(redis.url());
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    lose_commit(*store, proxy, pool);
    const Version version = reloaded(*store, pool).version;
    CHECK(version != 1);
    CHECK(loaded(*other, pool).version == version);
    CHECK(stale(commit(*other, {change(pool).from(1).to(2).count(9)})));
    REQUIRE(committed(commit(*store, {change(pool).from(version).to(version + 1).count(5)})));

    // The same of a pool that is not there, for whoever knew so before.
    const PoolId missing = PoolId::random();
    REQUIRE(absent(*other, missing));
    lose_commit(*store, proxy, missing);
    REQUIRE(std::holds_alternative<Absent>(store->reload(missing)));
    const auto refused = commit(*other, {change(missing).to(1).count(9)});
    REQUIRE(stale(refused));
    CHECK(std::holds_alternative<Absent>(*std::get<Stale>(refused[0]).now));
    CHECK(std::stoi(redis.command({"TTL", "sema:{" + missing.str() + "}"})[0]) > 80'000);
    // Who learnt of the reload may make it.
    REQUIRE(committed(commit(*other, {change(missing).to(2).count(4)})));
    CHECK(redis.command({"TTL", "sema:{" + missing.str() + "}"})[0] == "-1");
    // The guard stays when the pool goes.
    REQUIRE(committed(commit(*other, {change(missing).from(2).to(0).clear()})));
    CHECK(stale(commit(*open_patiently(redis.url()), {change(missing).to(3).count(4)})));
}

TEST_CASE("a reloaded version is new, wherever the old one was in its range") {
    const RedisServer redis;
    Proxy proxy(redis.port());
    const auto store = open_patiently(through(proxy));
    Version base = 0;
    for (const Version version :
         {Version{1}, Version{999'999'999'999'999}, Version{1'000'000'000'000'000}, (Version{1} << 63) - 1,
          Version{18'446'744'073'709'000'000U}, ~Version{0} - 1, ~Version{0}}) {
        REQUIRE(committed(commit(*store, {change(pool).from(base).to(version).count(1)})));
        lose_commit(*store, proxy, pool);
        base = reloaded(*store, pool).version;
        CHECK(base != version);
        CHECK(base != 0);
        const Version grown = base - version;
        CHECK(grown <= Version{1} << 33);
        if (version < ~Version{0} - (Version{1} << 33)) CHECK(base > version);
    }
}

TEST_CASE("rows that were not written like this are a failure of that pool alone") {
    const RedisServer redis;
    const auto store = open_patiently(redis.url());
    const PoolId good = PoolId::random();
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4).put(some_slot(0)).queue(some_place(1)),
                                      change(good).to(1).count(2)})));
    const auto fields = redis.command({"HGETALL", pool_key});
    REQUIRE(fields.size() == 10);
    for (std::size_t i = 0; i < fields.size(); i += 2) {
        const std::string& value = fields[i + 1];
        for (const std::string& broken : {std::string(), value + "x", "x" + value, value.substr(1) + " "}) {
            // The mark of the index may be anything.
            if (fields[i] == "b" && !broken.empty()) continue;
            if (fields[i] == "v" && broken.empty()) continue;
            CAPTURE(fields[i], broken);
            redis.command({"HSET", pool_key, fields[i], broken});
            const auto result = store->load(pool);
            CHECK_THAT(failure_text(result), has_text("damaged"));
            CHECK(failure_text(result).find(pool.str()) == std::string::npos);
        }
        redis.command({"HSET", pool_key, fields[i], value});
    }
    redis.command({"HSET", pool_key, "unknown", "1"});
    CHECK_THAT(failure_text(store->load(pool)), has_text("damaged"));
    redis.command({"DEL", pool_key});
    redis.command({"SET", pool_key, "text"});
    CHECK_THAT(failure_text(store->load(pool)), has_text("WRONGTYPE"));
    CHECK_THAT(failure_text(commit(*store, {change(pool).to(2).count(1)})), has_text("WRONGTYPE"));
    CHECK(store->reachable());
    CHECK(loaded(*store, good).count == 2);
}

TEST_CASE("a server that comes too late has its turn at once, which others wait for, and not for long") {
    const RedisServer redis;
    const auto late = open_patiently(redis.url());
    const auto other = open_patiently(redis.url());
    RecordingListener listener;
    const Listening listening(*other, listener);
    const auto set_count = [&](SharedStore& store, Version base, unsigned count) {
        PoolChange made = change(pool).from(base).to(base == 0 ? 10 : base + 1).count(count);
        made.attempt = 1;
        return store.commit({made}, std::nullopt)[0];
    };
    const auto is_stale = [](const CommitResult& result, bool waits) {
        const auto* stale = std::get_if<Stale>(&result);
        return stale && stale->waits_for_turn == waits && stale->now.has_value() != waits;
    };
    REQUIRE(committed({set_count(*other, 0, 1)}));
    // Who does not go on trying has no turn.
    CHECK(stale(commit(*late, {change(pool).from(9).to(10).count(2)})));
    CHECK(committed({set_count(*other, 10, 1)}));
    auto turn_began = std::chrono::steady_clock::now();
    const auto is_over = [&] {
        if (std::chrono::steady_clock::now() - turn_began < 90ms) return false;
        WARN("this machine took longer than a turn lasts: the rest is left out");
        return true;
    };
    CHECK(is_stale(set_count(*late, 9, 2), false));
    const CommitResult waits = set_count(*other, 11, 3);
    if (is_over()) return;
    CHECK(is_stale(waits, true));
    // Who only asks waits for nobody.
    CHECK(committed(commit(*other, {change(pool).from(11).to(11)})));
    turn_began = std::chrono::steady_clock::now();
    CHECK(committed({set_count(*late, 11, 4)}));
    // That was all of its turn: now it is the other's, who hears of it.
    const CommitResult too_early = set_count(*late, 12, 5);
    if (is_over()) return;
    CHECK(is_stale(too_early, true));
    using Change = RecordingListener::Change;
    REQUIRE(eventually([&] { return listener.turns() == std::vector<Change>{{pool, 12}}; }));
    CHECK(committed({set_count(*other, 12, 6)}));
    CHECK(committed({set_count(*late, 13, 7)}));
    // A turn that is not taken passes.
    turn_began = std::chrono::steady_clock::now();
    CHECK(is_stale(set_count(*late, 9, 8), false));
    const CommitResult waiting = set_count(*other, 14, 9);
    if (is_over()) return;
    CHECK(is_stale(waiting, true));
    CHECK(eventually([&] { return committed({set_count(*other, 14, 9)}); }));
    CHECK(loaded(*late, pool).count == 9);
    // The log has nothing of it, nor has the pool once nobody waits.
    CHECK(committed({set_count(*late, 15, 9)}));
    CHECK(redis.command({"HEXISTS", "sema:{" + pool.str() + "}", "r"})[0] == "0");
}
