#include "tests/support/redis_server.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/sentinel_set.hpp"

#include <iostream>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Texts = std::vector<std::string>;

/// Tells which of the engines is left out.
std::vector<std::string> engines_here() {
    for (const char* engine : {"redis", "valkey"}) {
        if (!find_engine(engine)) std::cout << "left out, as it is not on this machine: " << engine << '\n';
    }
    return engines();
}

RedisOptions of(const std::string& engine) {
    RedisOptions options;
    options.engine = engine;
    return options;
}

}  // namespace

TEST_CASE("a Redis of a test's own keeps what was acknowledged over a kill") {
    for (const std::string& engine : engines_here()) {
        RedisServer server(of(engine));
        CHECK(server.command({"SET", "a", "1"}) == Texts{"OK"});
        server.restart();
        CHECK(server.command({"GET", "a"}) == Texts{"1"});
        CHECK(server.terminate() == 0);
        server.start();
        CHECK(server.command({"GET", "a"}) == Texts{"1"});
        CHECK_THROWS(server.command({"no such command"}));
        CHECK(server.command({"CONFIG", "GET", "appendfsync"}) == Texts{"appendfsync", "always"});
    }
}

TEST_CASE("of two lines of a Redis's configuration the test's own counts") {
    for (const std::string& engine : engines_here()) {
        RedisOptions options = of(engine);
        options.config = {"appendfsync no", "maxmemory 3mb"};
        const RedisServer server(options);
        CHECK(server.command({"CONFIG", "GET", "appendfsync"}) == Texts{"appendfsync", "no"});
        CHECK(server.command({"CONFIG", "GET", "maxmemory"}) == Texts{"maxmemory", "3145728"});
    }
}

TEST_CASE("a set of sentinels makes a replica the primary where that is gone") {
    for (const std::string& engine : engines_here()) {
        SentinelOptions options;
        options.engine = engine;
        SentinelSet set(options);
        REQUIRE(set.primary() == 0);
        set.server(0).command({"SET", "a", "1"});
        for (const std::size_t replica : {1U, 2U})
            REQUIRE(eventually([&] { return set.server(replica).command({"GET", "a"}) == Texts{"1"}; }));
        set.server(0).kill9();
        REQUIRE(eventually([&] {
            try {
                return set.primary() != 0;
            } catch (const std::exception&) {
                return false;
            }
        }));
        CHECK(eventually([&] { return set.server(set.primary()).command({"ROLE"}).at(0) == "master"; }));
        CHECK(set.server(set.primary()).command({"GET", "a"}) == Texts{"1"});
        set.server(0).start();
        CHECK(eventually([&] { return set.replicas_online() == 2; }));
    }
}
