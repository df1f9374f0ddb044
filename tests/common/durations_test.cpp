#include "common/durations.hpp"

#include "tests/support/catch.hpp"

using namespace std::chrono_literals;
using sema::parse_duration;

TEST_CASE("durations are read with and without a unit") {
    const auto is = [](const char* text, sema::Duration expected) {
        CAPTURE(text);
        const auto parsed = parse_duration(text);
        REQUIRE(parsed);
        CHECK(*parsed == expected);
    };
    is("0", 0s);
    is("90", 90s);
    is("1.5", 1500ms);
    is(".5", 500ms);
    is("30s", 30s);
    is("250ms", 250ms);
    is("5m", 5min);
    is("12h", 12h);
    is("1d", 24h);
    is("0.5d", 12h);
}

TEST_CASE("what is not a duration is refused with the forms that are") {
    for (const char* text :
         {"", "s", "-1", "-0", "+1", "1 s", "1w", "1e3", "nan", "inf", "0x10", "1s1", "5M", "1,5"}) {
        CAPTURE(text);
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message ==
              "'" + std::string(text) + "' is not a duration: write 90, 1.5, 30s, 5m, 12h or 1d");
    }
}

TEST_CASE("seconds round up to a microsecond and saturate") {
    CHECK(sema::from_seconds(1e-9) == 1us);
    CHECK(sema::from_seconds(0) == 0us);
    CHECK(sema::from_seconds(1e300) == sema::longest_duration);
    CHECK(sema::from_seconds(30) == 30s);
}

TEST_CASE("whole seconds round down") {
    CHECK(sema::whole_seconds(29'999'999us) == 29);
    CHECK(sema::whole_seconds(30s) == 30);
    CHECK(sema::whole_seconds(-1us) == -1);
}

TEST_CASE("durations are described in at most two units") {
    CHECK(sema::describe(0s) == "0s");
    CHECK(sema::describe(45s) == "45s");
    CHECK(sema::describe(5min) == "5m");
    CHECK(sema::describe(90min) == "1h 30m");
    CHECK(sema::describe(48h) == "2d");
    CHECK(sema::describe(24h + 5s) == "1d");
    CHECK(sema::describe(24h + 2h + 5min) == "1d 2h");
    CHECK(sema::describe(1h + 59s) == "1h");
}
