#include "server/service/clock.hpp"

#include "tests/support/catch.hpp"

using namespace std::chrono_literals;
using namespace sema;

namespace {

// What the fake operating system's clocks show.
Duration boot_now{};
Duration wall_now{};

OsClocks clocks(const char* boot_id) {
    return {boot_id, [] { return boot_now; }, [] { return wall_now; }};
}

void set(Duration boot, Duration wall) {
    boot_now = boot;
    wall_now = wall;
}

}  // namespace

TEST_CASE("the timeline does not follow the wall clock when that is stepped") {
    set(100s, 5000s);
    SystemClock clock(std::nullopt, clocks("a"));
    const TimePoint before = clock.now();
    set(101s, 90'000s);
    CHECK(clock.now() == before + 1s);
    set(102s, 10s);
    CHECK(clock.now() == before + 2s);
}

TEST_CASE("a point of the timeline is shown as the wall clock would show it now") {
    set(100s, 5000s);
    SystemClock clock(std::nullopt, clocks("a"));
    const TimePoint point = clock.now() + 30s;
    CHECK(clock.unix_time(point) == 5030s);
    set(100s, 9000s);
    CHECK(clock.unix_time(point) == 9030s);
}

TEST_CASE("a restart in the same boot goes on by the clock that cannot be stepped") {
    set(100s, 5000s);
    SystemClock first(std::nullopt, clocks("a"));
    const TimePoint before = first.now();
    const auto anchor = first.anchor_to_store();
    REQUIRE(anchor);
    set(130s, 1s);
    SystemClock second(anchor, clocks("a"));
    CHECK(second.now() == before + 30s);
}

TEST_CASE("after a reboot the timeline goes on by the wall clock, and never back") {
    set(100s, 5000s);
    SystemClock first(std::nullopt, clocks("a"));
    const TimePoint before = first.now();
    const auto anchor = first.anchor_to_store();
    set(3s, 5060s);
    CHECK(SystemClock(anchor, clocks("b")).now() == before + 60s);
    set(3s, 4000s);
    CHECK(SystemClock(anchor, clocks("b")).now() == before);
    // A system that does not name its boots.
    set(130s, 5060s);
    CHECK(SystemClock(anchor, clocks("")).now() == before + 60s);
}

TEST_CASE("a reboot is measured from the stepped wall clock, once an anchor was stored after the step") {
    set(100s, 5000s);
    SystemClock clock(std::nullopt, clocks("a"));
    clock.anchor_stored(*clock.anchor_to_store());
    set(110s, 50'010s);
    const TimePoint before = clock.now();
    const auto anchor = clock.anchor_to_store();
    REQUIRE(anchor);
    clock.anchor_stored(*anchor);
    set(2s, 50'030s);
    CHECK(SystemClock(anchor, clocks("b")).now() == before + 20s);
}

TEST_CASE("an anchor is due at first, after a step, after a minute and after a reboot, and not else") {
    set(100s, 5000s);
    SystemClock clock(std::nullopt, clocks("a"));
    const auto anchor = clock.anchor_to_store();
    REQUIRE(anchor);
    clock.anchor_stored(*anchor);
    CHECK_FALSE(clock.anchor_to_store());
    set(160s - 1us, 5060s - 1us);
    CHECK_FALSE(clock.anchor_to_store());
    set(160s, 5060s);
    CHECK(clock.anchor_to_store());
    set(110s, 5011s - 1us);
    CHECK_FALSE(clock.anchor_to_store());
    set(110s, 5011s);
    CHECK(clock.anchor_to_store());
    set(110s, 5009s);
    CHECK(clock.anchor_to_store());
    set(110s, 5010s);
    CHECK(SystemClock(anchor, clocks("b")).anchor_to_store());
    CHECK_FALSE(SystemClock(anchor, clocks("a")).anchor_to_store());
}
