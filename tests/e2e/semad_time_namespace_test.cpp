// A store that moves between time namespaces, in which the machine's boot time is another one.
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <string>
#include <vector>

using namespace sema::test;

TEST_CASE("leases live on where semad is started again in a time namespace with another boot time") {
    const std::string offset = GENERATE("100000", "-5");
    const std::vector<std::string> apart = {"unshare", "--time", "--boottime", offset};
    const auto inside = [&](const std::vector<std::string>& command) {
        std::vector<std::string> words = apart;
        words.insert(words.end(), command.begin(), command.end());
        return words;
    };
    if (run_program(inside({"true"})).status != 0) {
        WARN("no time namespace can be made here");
        return;
    }
    RunningServer server;
    const TestPool pool(server, 1);
    const Slot slot = pool.take(3600);
    server.kill9();
    {
        const std::string address = "127.0.0.1:" + std::to_string(server.port());
        Program there(inside({SEMAD, "--listen", address, "--store", "sqlite:" + server.store().string()}));
        REQUIRE(there.warns("listening on"));
        CHECK(pool.in_use() == 1);
        const auto left = pool.view().at("holders").at(0).at("expires_in").get<int>();
        CHECK(left > 3000);
        CHECK(left <= 3600);
    }
    server.start();
    CHECK(pool.in_use() == 1);
    CHECK(pool.returns(slot));
}
