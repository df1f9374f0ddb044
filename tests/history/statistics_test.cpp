#include "server/history/statistics.hpp"

#include "tests/history/recorded_run.hpp"

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// The timeline of the tests begins a whole number of hours after the epoch.
Statistics statistics_of(const Past& past) {
    return sema::statistics_of(past, Duration::zero());
}

}  // namespace

TEST_CASE("use and queue are averages over steps") {
    RecordedRun run(2);
    run.add({.comes = 0s, .holds = 90s});
    run.add({.comes = 0s, .holds = 30s});
    run.add({.comes = 0s, .holds = 60s});
    const Statistics statistics = statistics_of(run.go(300s));
    REQUIRE(statistics.step == 1s);
    REQUIRE(statistics.use.size() == 300);
    CHECK(statistics.use[0].at == start);
    CHECK(statistics.use[0].in_use == 2);
    CHECK(statistics.use[0].queue == 1);
    CHECK(statistics.use[29].queue == 1);
    CHECK(statistics.use[30].queue == 0);
    CHECK(statistics.use[89].in_use == 2);
    CHECK(statistics.use[90].in_use == 0);
    CHECK(statistics.use[0].count == 2);
}

TEST_CASE("a step that is partly used has a part of it") {
    RecordedRun run(1);
    run.add({.comes = 500ms, .holds = 250ms});
    const Statistics statistics = statistics_of(run.go(10s));
    CHECK(statistics.use[0].in_use == 0.25);
    CHECK(statistics.use[1].in_use == 0);
}

TEST_CASE("steps are at most three hundred or so, and begin at multiples of their length") {
    RecordedRun run(1);
    const Past past = run.go(7 * 24h, 17s);
    const Statistics statistics = statistics_of(past);
    CHECK(statistics.step == 1h);
    CHECK(statistics.use.size() == 7 * 24);
    CHECK(statistics.use[0].at == start);
    for (const Duration span : {1h, 24h, 30 * 24h}) {
        RecordedRun other(1);
        CHECK(statistics_of(other.go(span)).use.size() <= 300);
    }
}

TEST_CASE("the first and the last step count what is within the time alone") {
    RecordedRun run(1);
    run.add({.comes = 0s, .holds = 10h});
    const Past past = run.go(1h + 7s, 10min + 7s);
    const Statistics statistics = statistics_of(past);
    CHECK(statistics.use.front().in_use == 1);
    CHECK(statistics.use.back().in_use == 1);
}

TEST_CASE("the count of a step is the one at its end") {
    RecordedRun run(2);
    run.resize(100s, 5);
    run.resize(200s, 3);
    const Statistics statistics = statistics_of(run.go(300s));
    CHECK(statistics.use[99].count == 2);
    CHECK(statistics.use[100].count == 5);
    CHECK(statistics.use[199].count == 5);
    CHECK(statistics.use[200].count == 3);
    CHECK(statistics.use[299].count == 3);
}

TEST_CASE("waits by nearest rank, live leases included") {
    RecordedRun run(1);
    for (int i = 0; i < 20; ++i)
        run.add({.comes = 0s, .holds = 1s});
    const Statistics statistics = statistics_of(run.go(19500ms));
    CHECK(statistics.granted == 20);
    CHECK(statistics.waits.p50 == 9s);
    CHECK(statistics.waits.p95 == 18s);
    CHECK(statistics.waits.max == 19s);
    CHECK(statistics.refusals == 0);
    CHECK_FALSE(times_of({}).p50);
    CHECK(times_of({4s}).p50 == 4s);
    CHECK(times_of({4s}).p95 == 4s);
}

TEST_CASE("refusals are those who left without a lease") {
    RecordedRun run(1);
    run.add({.comes = 0s, .holds = 10min});
    run.add({.comes = 1s, .holds = 1s, .waits = 0s});
    run.add({.comes = 2s, .holds = 1s, .waits = 5s});
    const Statistics statistics = statistics_of(run.go(1min));
    CHECK(statistics.refusals == 2);
    CHECK(statistics.granted == 1);
    CHECK(statistics.use[3].queue == 1);
    CHECK(statistics.use[7].queue == 0);
}

TEST_CASE("holders are added up by their names, and those who held longest come first") {
    RecordedRun run(20);
    run.add({.comes = 0s, .holds = 10s, .name = "ann"});
    run.add({.comes = 0s, .holds = 10s, .name = "ann"});
    run.add({.comes = 0s, .holds = 15s, .name = "bob"});
    run.add({.comes = 0s, .holds = 5s, .slots = 2});
    run.add({.comes = 0s, .holds = 1h, .name = "still"});
    for (int i = 0; i < 15; ++i)
        run.add({.comes = 30s, .holds = 1s, .name = "other " + std::to_string(i)});
    const Statistics statistics = statistics_of(run.go(60s));
    REQUIRE(statistics.holders.size() == 10);
    CHECK(statistics.holders[0].name == "still");
    CHECK(statistics.holders[0].held == 60s);
    CHECK(statistics.holders[1].name == "ann");
    CHECK(statistics.holders[1].leases == 2);
    CHECK(statistics.holders[1].held == 20s);
    CHECK(statistics.holders[2].name == "bob");
    CHECK(statistics.holders[3].name == std::nullopt);
    CHECK(statistics.holders[3].held == 10s);
}

TEST_CASE("what semactl calls a holder is added up over its runs") {
    CHECK(holder_group("ann@host:1234 vsim") == "ann@host");
    CHECK(holder_group("ann@host:1234") == "ann@host");
    CHECK(holder_group("build 4711 (ci@runner-3:99 make)") == "build");
    CHECK(holder_group("nightly tests (ci@runner-3:99 make)") == "nightly tests");
    CHECK(holder_group("ann@host") == "ann@host");
    CHECK(holder_group("ann") == "ann");
    CHECK(holder_group("") == "");
    CHECK(holder_group("ann@host:port") == "ann@host:port");
    CHECK(holder_group("a:1 b@c:") == "a:1 b@c:");
}
