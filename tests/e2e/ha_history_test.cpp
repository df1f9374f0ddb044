#include "tests/e2e/ha_pair.hpp"
#include "tests/support/temp_dir.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

// What several semads over one store tell of a pool's past.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

Json history(const RunningServer& server, const TestPool& pool) {
    const HttpResponse response = call(server.port(), "GET", pool.path() + "/history");
    return response.status == 200 ? Json::parse(response.body).at("history") : Json::array();
}

std::string ends(const Json& entries) {
    std::string ends;
    for (const Json& entry : entries)
        ends += entry.at("how").get<std::string>() + " ";
    return ends;
}

}  // namespace

TEST_CASE("each server tells what was done through all of them") {
    Pair pair;
    const TestPool here(pair.one, 1);
    const TestPool there = pair.there(here);
    const Slot first = here.take();
    RawClient waiter = there.queue_up();
    REQUIRE(shows_waiting(here, 1));
    CHECK(here.returns(first));
    const Slot second = granted(waiter.receive());
    CHECK(here.returns(second));
    CHECK(there.revokes(there.take().position));
    const std::string all = "revoked returned returned ";
    CHECK(eventually([&] { return ends(history(pair.one, here)) == all; }));
    CHECK(eventually([&] { return ends(history(pair.other, there)) == all; }));
    const Json entries = history(pair.other, there);
    CHECK(entries == history(pair.one, here));
    CHECK(entries[1].at("waited") > 0);
    CHECK(entries[2].at("waited") == 0);
}

TEST_CASE(
    "a lease that expires is told once, whichever server looks, and though the one that lent it is gone") {
    Pair pair;
    const TestPool here(pair.one, 2);
    const TestPool there = pair.there(here);
    here.take(1);
    there.take(1);
    REQUIRE(eventually([&] { return here.in_use() == 0 && there.in_use() == 0; }));
    REQUIRE(eventually([&] { return ends(history(pair.other, there)) == "expired expired "; }));
    here.take(1);
    pair.one.kill9();
    REQUIRE(eventually([&] { return there.in_use() == 0; }));
    CHECK(eventually([&] { return ends(history(pair.other, there)) == "expired expired expired "; }));
}

TEST_CASE("what a killed server had told is still there, and it tells on when it is back") {
    Pair pair;
    const TestPool here(pair.one, 1);
    here.returns(here.take());
    REQUIRE(eventually([&] { return history(pair.one, here).size() == 1; }));
    pair.one.kill9();
    pair.one.start();
    here.returns(here.take());
    CHECK(eventually([&] { return history(pair.other, pair.there(here)).size() == 2; }));
}

TEST_CASE("while the store is away the past is not told, and what happens afterwards is") {
    Pair pair;
    const TestPool here(pair.one, 1);
    here.returns(here.take());
    REQUIRE(eventually([&] { return history(pair.one, here).size() == 1; }));
    pair.store->kill9();
    REQUIRE(eventually([&] { return call(pair.one.port(), "GET", here.path() + "/history").status == 502; }));
    pair.store->start();
    REQUIRE(eventually([&] { return here.borrow(R"({"ttl":60})").status == 200; }));
    CHECK(here.revokes(0));
    // What was told right before may be lost with a store that is killed.
    CHECK(eventually([&] { return ends(history(pair.one, here)).starts_with("revoked "); }));
    CHECK(eventually([&] { return history(pair.other, pair.there(here)) == history(pair.one, here); }));
}

TEST_CASE("a server that is to keep no history removes that of all servers") {
    const TempDir folder;
    const std::filesystem::path config = folder.path() / "semad.toml";
    std::ofstream(config) << "history = \"1d\"\n";
    Pair pair({"--config", config.string()});
    const TestPool here(pair.one, 1);
    here.returns(here.take());
    here.borrow(R"({"ttl":60})");
    CHECK(here.borrow(R"({"ttl":60})").status == 409);
    REQUIRE(eventually([&] { return history(pair.other, pair.there(here)).size() == 1; }));
    std::ofstream(config) << "history = 0\n";
    pair.one.kill9();
    pair.one.start();
    // It is not told of by the one that still keeps it, either.
    CHECK(eventually([&] { return history(pair.other, pair.there(here)).empty(); }));
    const auto refusals = [&] {
        const HttpResponse response =
            call(pair.other.port(), "GET", here.path() + "/statistics?what_if=false");
        return Json::parse(response.body).at("refusals").get<int>();
    };
    CHECK(eventually([&] { return refusals() == 0; }));
}
