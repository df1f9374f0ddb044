#include "tests/e2e/migration.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/e2e/semad_config.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/redis_server.hpp"

#include <fstream>

using namespace sema::test;
namespace fs = std::filesystem;

namespace {

/// A Redis that wants a password.
class LockedRedis {
  public:
    LockedRedis() {
        redis_.command({"ACL", "SETUSER", "semad", "on", ">se/same", "~sema:*", "&sema:*", "+@all"});
    }

    /// With what stands before the @, if anything.
    std::string url(const std::string& credentials) const {
        return "redis://" + (credentials.empty() ? "" : credentials + "@") + place();
    }
    std::string place() const { return "127.0.0.1:" + std::to_string(redis_.port()); }

  private:
    RedisServer redis_;
};

std::vector<std::string> semad(const std::string& store, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {SEMAD, "--listen", "127.0.0.1:0", "--store", store});
    return more;
}

}  // namespace

TEST_CASE("a password for the store is shown nowhere, and one on the command line is warned of") {
    const LockedRedis redis;
    Program server(semad(redis.url("semad:se%2Fsame")));
    REQUIRE(server.warns("store redis://" + redis.place() + "\n"));
    REQUIRE(server.warns("--redis-password-file"));
    CHECK(server.err().find("same") == std::string::npos);
}

TEST_CASE("the password for the store comes from a file or the environment, without a warning") {
    const LockedRedis redis;
    const TempDir folder;
    const std::string file = (folder.path() / "password").string();
    std::ofstream(file) << "se/same\n";
    fs::permissions(file, fs::perms(0600));
    const auto is_quiet = [](Program& server) {
        REQUIRE(server.warns("store redis://"));
        server.signal(SIGTERM);
        CHECK(server.wait() == 0);
        const std::string log = server.err();
        CHECK(log.find("password") == std::string::npos);
    };
    ProgramOptions options;
    options.environment = {{"SEMAD_REDIS_PASSWORD", "se/same"}};
    Program from_environment(semad(redis.url("semad")), options);
    is_quiet(from_environment);
    Program again(semad(redis.url("semad"), {"--redis-password-file", file}));
    is_quiet(again);

    fs::permissions(file, fs::perms(0644));
    Program exposed(semad(redis.url("semad"), {"--redis-password-file", file}));
    CHECK(exposed.warns("chmod 600"));
}

TEST_CASE("semad does not start without its store, and says why in one line") {
    const LockedRedis redis;
    const auto refusal = [](const std::vector<std::string>& command) {
        const Finished run = run_program(command);
        CHECK(run.status == 2);
        CHECK(run.err.find('\n') == run.err.size() - 1);
        CHECK(run.err.find("same") == std::string::npos);
        return run.err;
    };
    CHECK_THAT(refusal(semad("redis://127.0.0.1:1")),
               has_text("cannot use redis://127.0.0.1:1 as a store: "));
    CHECK_THAT(refusal(semad(redis.url("semad:seesame"))), has_text("check the user and the password"));
    CHECK_THAT(refusal(semad(redis.url(""), {"--redis-password-file", "/nowhere"})),
               has_text("/nowhere: No such file"));
    CHECK_THAT(refusal(semad("redis://semad:same@")), has_text("names no host"));
}

TEST_CASE("settings of the store with which answers can be lost are warned of at the start") {
    RedisServer redis;
    redis.command({"CONFIG", "SET", "appendfsync", "everysec"});
    Program server(semad(redis.url()));
    CHECK(server.warns("set appendfsync always"));
}

TEST_CASE("a store without the replicas that are wanted is waited for, and that is said") {
    const RedisServer redis;
    const std::vector<std::string> wanting = {"--redis-wait-replicas", "1"};
    Program early(semad(redis.url(), wanting));
    CHECK(early.warns("the store has 0 of the 1 replicas that --redis-wait-replicas wants"));
    const RunningServer server({"--store", redis.url(), "--redis-wait-replicas", "1"});
    const auto is_ready = [&] { return call(server.port(), "GET", "/readyz").status == 200; };
    CHECK_FALSE(is_ready());
    const RedisServer replica;
    replica.command({"REPLICAOF", "127.0.0.1", std::to_string(redis.port())});
    CHECK(eventually(is_ready));
    // A replica that has just come may take longer to acknowledge than a call waits.
    const TestPool pool(server, sema::PoolId::random().str());
    CHECK(eventually([&] { return pool.put(R"({"count":1})").status == 200; }));
    CHECK(eventually([&] { return pool.borrow(R"({"ttl":60})").status == 200; }));
}

TEST_CASE("pools and live leases move to a Redis and back, once no server uses either store") {
    const RedisServer redis;
    check_migration(redis.url());
}

TEST_CASE("semad check, pools and migrate make nothing in a Redis that has no pools yet") {
    const RedisServer redis;
    const ConfigFile file("[[pool]]\nname = 'vsim'\ncount = 1\n");
    const auto semad = [&](const std::string& command) {
        return run_program({SEMAD, command, "--config", file.path(), "--store", redis.url()});
    };
    const Finished checked = semad("check");
    CHECK(checked.status == 0);
    CHECK_THAT(checked.out, has_text(" is not there yet, and will be made\n"));
    const Finished pools = semad("pools");
    CHECK(pools.status == 2);
    CHECK_THAT(pools.err, has_text("the pools have no ids yet"));
    const TempDir folder;
    const fs::path moved = folder.path() / "moved.db";
    const Finished migrated = migrate(redis.url(), "sqlite:" + moved.string());
    CHECK(migrated.status == 2);
    CHECK_THAT(migrated.err, has_text("there is no store in redis://"));
    CHECK_FALSE(fs::exists(moved));
    CHECK(redis.command({"DBSIZE"}).front() == "0");
    const RunningServer server(file.flags({"--store", redis.url()}));
    CHECK(eventually([&] { return semad("check").out.ends_with("can be used, and has 1 pool\n"); }));
    CHECK_THAT(semad("pools").out, has_text("vsim\n"));
}

TEST_CASE("a migration that cannot be is refused, and one to a Redis that may forget is warned of") {
    const TempDir folder;
    const RedisServer redis;
    const std::string file = "sqlite:" + (folder.path() / "semad.db").string();
    {
        const RunningServer server({"--store", file});
        const TestPool pool(server, 1);
    }
    CHECK_THAT(migrate(file, file).err, has_text("both are " + file));
    redis.command({"CONFIG", "SET", "appendonly", "no"});
    CHECK_THAT(migrate(file, redis.url()).err, has_text("semad: warning: the store keeps no log"));
    CHECK_THAT(migrate("sqlite:" + (folder.path() / "typo.db").string(), redis.url()).err,
               has_text("there is no"));
}
