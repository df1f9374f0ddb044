#include "server/store/redis/redis_history.hpp"
#include "tests/store/redis/redis_stores.hpp"
#include "tests/support/recording_listener.hpp"
#include "tests/support/redis_server.hpp"
#include "tests/support/scripted_server.hpp"

#include <future>

// What a store on Redis does when that is away, broken, or not the right one.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

const PoolId pool = PoolId::random();
const std::string pool_key = "sema:{" + pool.str() + "}";

/// What is promised of a store that cannot be reached: within a second, and at once when that is known.
void check_is_away(SharedStore& store) {
    CHECK(time_of([&] { CHECK_FALSE(failure_text(store.load(pool)).empty()); }) < 1s);
    CHECK_FALSE(store.reachable());
    CHECK(time_of([&] {
              CHECK_THAT(failure_text(store.load(pool)), has_text("it cannot be reached"));
              CHECK_THAT(failure_text(store.reload(pool)), has_text("it cannot be reached"));
              CHECK_THAT(failure_text(commit(store, {change(pool).from(1).to(2)})),
                         has_text("it cannot be reached"));
              CHECK_FALSE(store.pool_count());
              CHECK_FALSE(store.pools_after(std::nullopt, 1));
              CHECK_FALSE(store.chosen_leases());
          }) < 100ms);
}

bool comes_back(SharedStore& store) {
    return eventually([&] { return store.reachable(); });
}

std::string refusal(const RedisStoreOptions& options) {
    const auto store = open_redis_store(options);
    REQUIRE_FALSE(store);
    CHECK(store.error().message.find('\n') == std::string::npos);
    CHECK(store.error().message.find("sesame") == std::string::npos);
    return store.error().message;
}

std::string refusal(const std::string& url) {
    return refusal(options_for(url));
}

}  // namespace

TEST_CASE("a Redis that is killed is away until it is back, with what was committed") {
    RedisServer redis;
    const auto store = open(redis.url());
    RecordingListener listener;
    const Listening listening(*store, listener);
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    const auto generation = store->generation();
    const TimePoint before = store->now();
    redis.kill9();
    const auto reached = listener.times_reached();
    check_is_away(*store);
    CHECK(store->now() > before);
    CHECK(store->generation() > generation);
    CHECK(listener.times_reached() == reached);
    redis.start();
    REQUIRE(comes_back(*store));
    CHECK(eventually([&] { return listener.times_reached() > reached; }));
    CHECK(loaded(*store, pool).count == 4);
    CHECK(committed(commit(*store, {change(pool).from(1).to(2).count(5)})));
}

TEST_CASE("a Redis that hangs is away after less than a second", "[alone]") {
    RedisServer redis;
    const auto store = open(redis.url());
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    redis.pause();
    std::vector<CommitResult> results;
    CHECK(time_of([&] { results = commit(*store, {change(pool).from(1).to(2).count(5)}); }) < 1s);
    CHECK_FALSE(failure_text(results).empty());
    check_is_away(*store);
    redis.resume();
    REQUIRE(comes_back(*store));
    // The change may have come about, or not; but not after that.
    const PoolRecord record = reloaded(*store, pool);
    CHECK((record.count == 4 || record.count == 5));
    CHECK(loaded(*store, pool).version == record.version);
}

TEST_CASE("whoever follows a pool still does after Redis was started again") {
    RedisServer redis;
    const auto store = open(redis.url());
    const auto other = open(redis.url());
    RecordingListener listener;
    const Listening listening(*store, listener);
    store->follow(pool);
    redis.restart();
    REQUIRE(eventually([&] { return listener.times_reached() > 0; }));
    REQUIRE(comes_back(*other));
    REQUIRE(committed(commit(*other, {change(pool).to(1).count(4)})));
    CHECK(listener.hears_of(pool, 1));
}

TEST_CASE("nobody counts as lost because the store was away") {
    RedisServer redis;
    const auto store = open(redis.url());
    const auto other = open(redis.url());
    RecordingListener listener;
    const Listening listening(*store, listener);
    CHECK_FALSE(store->is_lost(other->self()));
    for (const bool killed : {false, true}) {
        killed ? redis.kill9() : redis.pause();
        REQUIRE(eventually([&] { return !store->reachable(); }));
        // Longer than a server may be missing.
        REQUIRE_FALSE(eventually([&] { return store->is_lost(other->self()); }, 2500ms));
        killed ? redis.start() : redis.resume();
        REQUIRE(comes_back(*store));
        REQUIRE_FALSE(eventually([&] { return store->is_lost(other->self()); }, 2500ms));
    }
    CHECK(listener.lost_servers().empty());
}

TEST_CASE("a commit that was under way for long is not applied after a reload") {
    RedisServer redis;
    Proxy proxy(redis.port());
    const auto store = open(through(proxy));
    const PoolId missing = PoolId::random();
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    REQUIRE(absent(*store, missing));
    proxy.become(Proxy::State::holding);
    const auto results =
        commit(*store, {change(pool).from(1).to(2).count(5), change(missing).to(1).count(5)});
    REQUIRE_FALSE(failure_text(results).empty());
    REQUIRE(comes_back(*store));
    const PoolRecord record = reloaded(*store, pool);
    CHECK(record.count == 4);
    REQUIRE(std::holds_alternative<Absent>(store->reload(missing)));

    // Now it arrives: the mark in the index that went before it shows that.
    proxy.become(Proxy::State::open);
    REQUIRE(eventually([&] { return redis.command({"ZCARD", "sema:pools"})[0] == "2"; }));
    CHECK(loaded(*store, pool).version == record.version);
    CHECK(loaded(*store, pool).count == 4);
    CHECK(absent(*store, missing));
    CHECK(store->pools_after(std::nullopt, 9).value() == std::vector{pool});
    CHECK(committed(commit(*store, {change(pool).from(record.version).to(record.version + 1).count(6),
                                    change(missing).to(1).count(5)})));
}

TEST_CASE("a commit whose answer does not arrive is a failure, and was applied") {
    RedisServer redis;
    Proxy proxy(redis.port());
    const auto store = open(through(proxy));
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    proxy.become(Proxy::State::mute);
    auto results =
        std::async(std::launch::async, [&] { return commit(*store, {change(pool).from(1).to(2).count(5)}); });
    REQUIRE(eventually([&] { return redis.command({"HGET", pool_key, "v"})[0] == "2"; }));
    proxy.become(Proxy::State::cutting);
    CHECK_FALSE(failure_text(results.get()).empty());
    proxy.become(Proxy::State::open);
    REQUIRE(comes_back(*store));
    CHECK(reloaded(*store, pool).count == 5);
}

TEST_CASE("a commit over a connection that was cut is a failure, or comes about over another") {
    RedisServer redis;
    Proxy proxy(redis.port());
    const auto store = open(through(proxy));
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    for (Version version = 1; version < 6; ++version) {
        proxy.become(Proxy::State::cutting);
        const auto results = commit(*store, {change(pool).from(version).to(version + 1).count(5)});
        CHECK_FALSE(failure_text(results).empty());
        proxy.become(Proxy::State::open);
        REQUIRE(comes_back(*store));
        CHECK(loaded(*store, pool).version == version);
        REQUIRE(committed(commit(*store, {change(pool).from(version).to(version + 1).count(5)})));
    }
}

TEST_CASE("a connection that Redis closed while it was idle is not noticed") {
    RedisServer redis;
    const auto store = open(redis.url());
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    const auto generation = store->generation();
    const auto clients = redis.command({"CLIENT", "LIST"})[0];
    // It is the one whose last command was ROLE after HSET or ZADD; the others say ROLE and PING all the
    // time.
    redis.command({"CONFIG", "SET", "timeout", "1"});
    REQUIRE(eventually([&] {
        const auto list = redis.command({"CLIENT", "LIST"})[0];
        return std::count(list.begin(), list.end(), '\n') < std::count(clients.begin(), clients.end(), '\n');
    }));
    CHECK(store->reachable());
    CHECK(loaded(*store, pool).count == 4);
    CHECK(store->generation() > generation);
}

TEST_CASE("a Redis without memory refuses what must be stored, says why, and can be read") {
    RedisServer redis;
    const auto store = open_patiently(redis.url());
    const auto other = open_patiently(redis.url());
    REQUIRE_FALSE(other->is_lost(store->self()));
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    redis.command({"CONFIG", "SET", "maxmemory", "1"});
    const auto results = commit(*store, {change(pool).from(1).to(2).count(5)});
    CHECK_THAT(failure_text(results), has_text("maxmemory"));
    CHECK(store->reachable());
    CHECK(loaded(*store, pool).count == 4);
    // Nor is it taken for lost, though it is for longer than a heartbeat lasts.
    const auto generation = store->generation();
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(eventually([&] { return std::chrono::steady_clock::now() - begin > 3s; }));
    CHECK_FALSE(other->is_lost(store->self()));
    CHECK(store->generation() == generation);
    redis.command({"CONFIG", "SET", "maxmemory", "0"});
    CHECK(committed(commit(*store, {change(pool).from(1).to(2).count(5)})));
}

TEST_CASE("a run of a server that was started anew where it ran counts as lost at once") {
    RedisServer redis;
    const auto first = open(redis.url());
    REQUIRE(first->serve_at("here"));
    const auto other = open(redis.url());
    REQUIRE(other->serve_at("there"));
    RecordingListener listener;
    other->listen(&listener);
    REQUIRE_FALSE(other->is_lost(first->self()));
    const auto second = open(redis.url());
    REQUIRE(second->serve_at("here"));
    CHECK(second->is_lost(first->self()));
    CHECK_FALSE(second->is_lost(other->self()));
    CHECK(listener.loses(first->self()));
    other->listen(nullptr);
}

TEST_CASE("a Redis that becomes a replica is away, also for what only reads") {
    RedisServer redis;
    RedisServer other;
    const auto store = open(redis.url());
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    redis.command({"REPLICAOF", "127.0.0.1", std::to_string(other.port())});
    CHECK_FALSE(failure_text(commit(*store, {change(pool).from(1).to(1)})).empty());
    CHECK_FALSE(failure_text(store->load(pool)).empty());
    CHECK_FALSE(store->reachable());
    CHECK_THAT(refusal(redis.url()), has_text("replica"));
    redis.command({"REPLICAOF", "NO", "ONE"});
    CHECK(comes_back(*store));
}

TEST_CASE("a Redis that is not there is refused after three seconds") {
    const RedisServer redis;
    const std::string nobody = "redis://127.0.0.1:1";
    CHECK(time_of([&] { CHECK_THAT(refusal(nobody), has_text("redis://127.0.0.1:1 as a store")); }) < 4s);
    CHECK_THAT(refusal("redis+unix:///nowhere/socket"), has_text("No such file"));
    CHECK_THAT(refusal("redis://host.invalid"), has_text("name"));
}

TEST_CASE("a Redis that starts late is waited for") {
    RedisServer redis;
    redis.kill9();
    auto opened = std::async(std::launch::async, [&] { return open(redis.url()); });
    redis.start();
    CHECK(opened.get()->reachable());
}

TEST_CASE("a password is needed where Redis wants one, and a wrong one is refused at once") {
    RedisServer redis;
    redis.command({"ACL", "SETUSER", "semad", "on", ">se/s@me", "~sema:*", "&sema:*", "+@all"});
    const std::string place = redis.url().substr(8);
    CHECK(open("redis://semad:se%2Fs%40me@" + place)->reachable());
    CHECK(time_of([&] {
              CHECK_THAT(refusal("redis://semad:sesame@" + place),
                         has_text("check the user and the password"));
          }) < 2s);
    CHECK_THAT(refusal("redis://:sesame@" + place), has_text("check the user and the password"));
    redis.command({"ACL", "SETUSER", "default", "resetpass", ">open", "nocommands", "+ping"});
    CHECK_THAT(refusal("redis://" + place), has_text("--redis-password-file"));
}

TEST_CASE("a user with no more rights than are named can do everything") {
    RedisServer redis;
    redis.command({"ACL",          "SETUSER",    "semad",        "on",       ">p",     "~sema:*",
                   "&sema:*",      "-@all",      "+auth",        "+select",  "+ping",  "+role",
                   "+wait",        "+subscribe", "+unsubscribe", "+publish", "+eval",  "+evalsha",
                   "+script|load", "+time",      "+get",         "+set",     "+del",   "+mget",
                   "+persist",     "+expire",    "+pexpire",     "+hget",    "+hmget", "+hgetall",
                   "+hset",        "+hdel",      "+hexists",     "+zadd",    "+zrem",  "+zcard",
                   "+zrangebylex"});
    // The history's.
    redis.command(
        {"ACL", "SETUSER", "semad", "+zrevrangebyscore", "+zremrangebyrank", "+zremrangebyscore", "+scan"});
    Proxy proxy(redis.port());
    const std::string url = "redis://semad:p@" + proxy.host_and_port();
    {
        const auto store = open(url);
        const auto generation = store->generation();
        REQUIRE(store->serve_at("here"));
        store->follow(pool);
        CHECK_FALSE(store->is_lost(ServerId{5}));
        REQUIRE(committed(commit(*store, {change(pool).to(1).count(4).put(some_slot(0)).put(some_slot(1))})));
        REQUIRE(committed(commit(*store, {change(pool).from(1).to(2).drop(0)})));
        // Nothing is refused of what goes on by itself.
        CHECK_FALSE(eventually([&] { return store->generation() != generation; }, 1s));
        const PoolId missing = PoolId::random();
        lose_commit(*store, proxy, pool);
        lose_commit(*store, proxy, missing);
        const Version version = reloaded(*store, pool).version;
        CHECK(version != 2);
        CHECK(store->pool_count().value() == 1);
        CHECK(store->pools_after(std::nullopt, 5).value().size() == 1);
        CHECK(store->chosen_leases());
        REQUIRE(committed(commit(*store, {change(pool).from(version).to(0).clear()})));
        REQUIRE(std::holds_alternative<Absent>(store->reload(missing)));
    }
    const auto history = make_redis_history(options_for(url));
    const HistoryBounds bounds{.oldest = TimePoint(1h), .age = 1h, .most = 10};
    REQUIRE(history->append({{pool, {{.at = TimePoint(2h), .fence = 1}}}}, bounds));
    CHECK(history->read(pool, HistoryPart::leases, {}, [](HistoryEntry&&) { return true; }));
    CHECK(history->clear());
    const auto warnings = redis_store_warnings(options_for(url));
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], has_text("CONFIG GET is not to be had there"));
}

TEST_CASE("a Redis that lacks a command which is needed is refused at once, and the command is named") {
    for (const std::string command : {"SCRIPT", "EVAL", "WAIT"}) {
        CAPTURE(command);
        RedisOptions lacking;
        lacking.config = {"rename-command " + command + " \"\""};
        const RedisServer redis(lacking);
        RedisStoreOptions options = options_for(redis.url());
        if (command == "WAIT") options.wait_replicas = 1;
        CHECK(time_of([&] {
                  CHECK_THAT(refusal(options), has_text("unknown command") && has_text(command + "'") &&
                                                   has_text("allow it (rename-command)"));
              }) < 2s);
    }
    RedisServer redis;
    redis.command({"ACL", "SETUSER", "semad", "on", ">p", "~sema:*", "&sema:*", "+@all", "-script"});
    CHECK_THAT(refusal("redis://semad:p@" + redis.url().substr(8)),
               has_text("let this user do it (ACL SETUSER)"));
}

TEST_CASE("a Redis without CONFIG is used, and nobody is blamed for what cannot be looked at") {
    RedisOptions lacking;
    lacking.config = {"rename-command CONFIG \"\""};
    const RedisServer redis(lacking);
    CHECK(open(redis.url())->reachable());
    const auto warnings = redis_store_warnings(options_for(redis.url()));
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], has_text("CONFIG GET is not to be had there") && has_text("appendfsync always"));
}

TEST_CASE("data of a newer format is refused and left alone") {
    RedisServer redis;
    redis.command({"SET", "sema:format", "2"});
    CHECK_THAT(refusal(redis.url()), has_text("of format 2"));
    CHECK(redis.command({"GET", "sema:format"})[0] == "2");
}

TEST_CASE("a part of a Redis Cluster is refused at once") {
    const test::ReservedPort bus;
    const test::ReservedPort other_bus;
    const auto node = [](const test::ReservedPort& port) {
        test::RedisOptions options;
        options.config = {"cluster-enabled yes", "cluster-port " + std::to_string(port.number()),
                          "cluster-require-full-coverage no"};
        return options;
    };
    const RedisServer redis(node(bus));
    CHECK(time_of([&] { CHECK_THAT(refusal(redis.url()), has_text("a part of a Redis Cluster")); }) < 2s);
    const RedisServer other(node(other_bus));
    other.command({"CLUSTER", "ADDSLOTSRANGE", "0", "16383"});
    redis.command(
        {"CLUSTER", "MEET", "127.0.0.1", std::to_string(other.port()), std::to_string(other_bus.number())});
    REQUIRE(eventually([&] { return refusal(redis.url()).find("MOVED") != std::string::npos; }));
    CHECK_THAT(refusal(redis.url()), has_text("a part of a Redis Cluster"));
}

TEST_CASE("what is no Redis, or holds something else under our names, is refused") {
    RedisServer redis;
    redis.command({"LPUSH", "sema:format", "1"});
    CHECK_THAT(refusal(redis.url()), has_text("WRONGTYPE"));
    const ScriptedServer web(
        std::vector<Scene>(100, {Scene::Wait::for_end_of_input, http("200 OK", ""), {}}));
    CHECK_THAT(refusal("redis://" + web.url().substr(7)), has_text("no answer in time"));
}

TEST_CASE("settings with which answers can be lost are told in sentences") {
    RedisServer redis;
    CHECK(redis_store_warnings(options_for(redis.url())).empty());
    const auto warnings = [&](unsigned replicas = 0) {
        RedisStoreOptions options = options_for(redis.url());
        options.wait_replicas = replicas;
        return redis_store_warnings(options);
    };
    redis.command({"CONFIG", "SET", "no-appendfsync-on-rewrite", "yes"});
    REQUIRE(warnings().size() == 1);
    CHECK_THAT(warnings()[0], has_text("set no-appendfsync-on-rewrite no"));
    redis.command({"CONFIG", "SET", "no-appendfsync-on-rewrite", "no"});
    redis.command({"CONFIG", "SET", "appendfsync", "everysec"});
    REQUIRE(warnings().size() == 1);
    CHECK_THAT(warnings()[0], has_text("set appendfsync always"));
    redis.command({"CONFIG", "SET", "appendonly", "no"});
    REQUIRE(warnings().size() == 1);
    CHECK_THAT(warnings()[0], has_text("set appendonly yes and appendfsync always"));
    redis.command({"CONFIG", "SET", "maxmemory-policy", "allkeys-lru"});
    CHECK(warnings().size() == 1);
    redis.command({"CONFIG", "SET", "maxmemory", "100mb"});
    REQUIRE(warnings().size() == 2);
    CHECK_THAT(warnings()[1], has_text("set maxmemory-policy noeviction"));
    REQUIRE(warnings(1).size() == 3);
    CHECK_THAT(warnings(1)[2], has_text("0 of the 1 replicas"));
}

TEST_CASE("a change counts once as many replicas have it as are wanted") {
    RedisServer redis;
    RedisServer replica;
    RedisStoreOptions options = options_for(redis.url());
    options.wait_replicas = 1;
    options.answer_limit = 3s;
    const auto store = open(options);
    CHECK_FALSE(store->reachable());
    CHECK_THAT(failure_text(store->load(pool)), has_text("0 of the 1 replicas"));
    CHECK(store->now() > TimePoint());

    replica.command({"REPLICAOF", "127.0.0.1", std::to_string(redis.port())});
    REQUIRE(comes_back(*store));
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    CHECK(replica.command({"HGET", pool_key, "v"})[0] == "1");

    replica.pause();
    std::vector<CommitResult> results;
    const auto took = time_of([&] { results = commit(*store, {change(pool).from(1).to(2).count(5)}); });
    CHECK(took < options.answer_limit);
    CHECK_THAT(failure_text(results), has_text("0 of 1 replicas"));
    replica.resume();
    REQUIRE(eventually([&] { return std::holds_alternative<PoolRecord>(store->reload(pool)); }));
    const PoolRecord record = loaded(*store, pool);
    CHECK(record.count == 5);
    CHECK(committed(commit(*store, {change(pool).from(record.version).to(record.version + 1).count(6)})));
    CHECK(committed(commit(*store, {change(pool).from(record.version + 1).to(record.version + 1)})));
}
