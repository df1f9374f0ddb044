#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"

#include <nlohmann/json.hpp>

// What semactl prints of a pool's past.

using namespace sema::test;
using Json = nlohmann::json;
using sema::test::has_text;

namespace {

struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    void use(const std::string& holder) const {
        REQUIRE(semactl({"run", "vsim", "--holder", holder, "--", "true"}).status == 0);
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("semactl history prints who had the slots, to people and to programs") {
    const World world;
    world.use("ann");
    world.use("b\x1b[31mob");
    const Finished table = world.semactl({"history", "vsim"});
    CHECK(table.status == 0);
    CHECK_THAT(table.out, has_text("vsim: 2 leases that ended\n"));
    CHECK(table.out.find("ann") > table.out.find("ob"));
    CHECK_THAT(table.out, has_text("returned"));
    CHECK_THAT(table.out, !has_text("\x1b"));
    const Json json = Json::parse(world.semactl({"--output", "json", "history", "vsim", "--limit", "1"}).out);
    REQUIRE(json.at("history").size() == 1);
    CHECK(json.at("history").at(0).at("holder").at("name") == "b\x1b[31mob");
    CHECK_THAT(world.semactl({"history", "vsim", "--limit", "1"}).out,
               has_text("vsim: the last lease that ended (--limit N for more)\n"));
    CHECK_THAT(world.semactl({"history", "vsim", "--position", "7"}).out, has_text("0 leases"));
    CHECK_THAT(world.semactl({"history", "vsim", "--since", "1h"}).out, has_text("2 leases"));
    CHECK(world.semactl({"history", "vsim", "--limit", "0"}).status == 2);
    CHECK(world.semactl({"history", "vsim", "--since", "soon"}).status == 2);
    CHECK(world.semactl({"history", "vsim", "--position", "999999"}).status == 0);
    CHECK(world.semactl({"history", "vsim", "--position", "1000000"}).status == 2);
}

TEST_CASE("semactl stats prints use, waits and what other counts would have done") {
    const World world;
    world.use("ann");
    const Finished plain = world.semactl({"stats", "vsim"});
    CHECK(plain.status == 0);
    CHECK_THAT(plain.out, has_text("vsim: 1 slot, "));
    CHECK_THAT(plain.out, has_text("1 lease granted, 0 borrowers got none\n"));
    CHECK_THAT(plain.out, has_text("# in use"));
    CHECK_THAT(plain.out, !has_text("HALF WAIT"));
    const Finished more = world.semactl({"stats", "vsim", "--since", "1d", "--what-if"});
    CHECK(more.status == 0);
    CHECK_THAT(more.out, has_text("SLOTS  HALF WAIT UP TO"));
    CHECK_THAT(more.out, has_text("now\n"));
    CHECK_THAT(more.out, has_text("Assumed: "));
    const Json json = Json::parse(world.semactl({"--output", "json", "stats", "vsim", "--what-if"}).out);
    CHECK(json.at("what_if").size() == 5);
    CHECK(json.at("waits").at("granted") == 1);
    CHECK(Json::parse(world.semactl({"--output", "json", "stats", "vsim"}).out).at("what_if").empty());
}

TEST_CASE("semactl says that a server keeps no history") {
    RunningServer server({"--history", "0"});
    const Semactl semactl{server.url()};
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    for (const char* const command : {"history", "stats"}) {
        const Finished run = semactl({command, "vsim"});
        CHECK(run.status == 0);
        CHECK_THAT(run.out, has_text("The server keeps no history (semad --history 0).\n"));
        CHECK(Json::parse(semactl({"--output", "json", command, "vsim"}).out).at("kept_for") == 0);
    }
}

TEST_CASE("a pool that is not there has no past to print") {
    const World world;
    REQUIRE(world.semactl({"delete", "vsim"}).status == 0);
    for (const char* const command : {"history", "stats"}) {
        const Finished run = world.semactl({command, "vsim"});
        CHECK(run.status == 66);
        CHECK_THAT(run.err, has_text("no such pool"));
    }
}
