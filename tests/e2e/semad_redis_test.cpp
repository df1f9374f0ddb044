#include "tests/e2e/semad.hpp"
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
    const TestPool pool(server, 1);
    CHECK(pool.take().position == 0);
}

TEST_CASE("pools and live leases move to a Redis and back, once no server uses either store") {
    const TempDir folder;
    const RedisServer redis;
    const std::string file = "sqlite:" + (folder.path() / "before.db").string();
    const std::string back = "sqlite:" + (folder.path() / "after.db").string();
    const auto migrate = [](const std::string& from, const std::string& to) {
        return run_program({SEMAD, "migrate", from, to});
    };
    const std::string id = new_lease();
    std::vector<Slot> held;
    const auto served = [&](const std::string& store, const auto& act) {
        RunningServer server({"--store", store});
        act(TestPool(server, id));
        CHECK(migrate(store, "sqlite:" + (folder.path() / "never.db").string()).status == 2);
        CHECK(server.terminate() == 0);
    };
    served(file, [&](const TestPool& pool) {
        REQUIRE(pool.put(R"({"count":3})").status == 200);
        held.push_back(pool.take(300));
        held.push_back(pool.take(300));
    });
    const Finished there = migrate(file, redis.url());
    CHECK(there.err == "");
    CHECK_THAT(there.out, has_text("copied 1 pool and 2 live leases"));
    served(redis.url(), [&](const TestPool& pool) {
        CHECK(pool.in_use() == 2);
        CHECK(pool.returns(held[0]));
        CHECK(pool.take(300).position == 0);
    });
    CHECK(migrate(redis.url(), back).status == 0);
    served(back, [&](const TestPool& pool) {
        CHECK(pool.in_use() == 2);
        CHECK(pool.returns(held[1]));
    });
    CHECK_THAT(migrate(file, redis.url()).err, has_text("has pools already"));
    CHECK_THAT(migrate(file, file).err, has_text("both are " + file));
    redis.command({"FLUSHALL"});
    redis.command({"CONFIG", "SET", "appendonly", "no"});
    CHECK_THAT(migrate(file, redis.url()).err, has_text("semad: warning: the store keeps no log"));
    CHECK_THAT(migrate("sqlite:" + (folder.path() / "typo.db").string(), redis.url()).err,
               has_text("there is no"));
}
