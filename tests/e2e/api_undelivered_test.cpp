#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <chrono>
#include <string>

using namespace sema::test;
using namespace std::chrono_literals;

TEST_CASE("an answer that the network loses ends no later lease of the same id, however late that shows") {
    RunningServer server({"--threads", "1", "--rejoin", "0.3"});
    const TestPool pool(server, 1);
    const Json fields{{"lease", new_lease()}, {"ttl", 600}};
    RawClient lost(server.port());
    lost.lose_input();
    lost.send_last(pool.borrow_request(fields));
    REQUIRE(eventually([&] { return pool.in_use() == 1; }));
    SECTION("of one that was revoked") {
        REQUIRE(pool.revokes(0));
    }
    SECTION("of one that was returned") {
        REQUIRE(pool.give_back(fields.dump()).body == R"({"returned":true})");
    }
    const Grant grant = pool.take_with(fields);
    lost.abort();
    // It ends with no connection open that it could still learn something from.
    restart(server, End::term);
    const Json holders = pool.view().at("holders");
    REQUIRE(holders.size() == 1);
    CHECK(holders[0].at("fence") == grant.fence);
    CHECK(holders[0].at("expires_in") > 300);
}
