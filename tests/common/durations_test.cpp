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

TEST_CASE("durations are read as sums of units, as they are described") {
    const auto is = [](const std::string& text, sema::Duration expected) {
        CAPTURE(text);
        const auto parsed = parse_duration(text);
        REQUIRE(parsed);
        CHECK(*parsed == expected);
    };
    is("1h30m", 90min);
    is("1d12h", 36h);
    is("1h30m15s250ms", 90min + 15s + 250ms);
    is("1m1.5s", 61s + 500ms);
    for (const auto duration : {90min, 26h + 0min, 61min})
        is(sema::describe(duration), duration);
}

TEST_CASE("units may be written out") {
    for (const char* second : {"30sec", "30secs", "30second", "30seconds"})
        CHECK(parse_duration(second) == 30s);
    for (const char* minute : {"5min", "5mins", "5minute", "5minutes"})
        CHECK(parse_duration(minute) == 5min);
    for (const char* hour : {"2hr", "2hrs", "2hour", "2hours"})
        CHECK(parse_duration(hour) == 2h);
    for (const char* day : {"1day", "1days"})
        CHECK(parse_duration(day) == 24h);
    CHECK(parse_duration("1hour 30min") == 90min);
}

TEST_CASE("what is not a duration is refused with the forms that are") {
    for (const char* text :
         {"",       "s",      "-1", "-0",  "+1",     "1 s",   "1w",   "1e3",  "nan",     "inf",
          "0x10",   "1s1",    "5M", "1,5", "1h30",   "30m1h", "1h1h", "1h ",  "1h  30m", " 1h",
          "1h-30m", "1h+30m", "m",  "1hm", "1.5.5s", "1h 30", "h30m", "1w2d", "5minss",  "1ms1s"}) {
        CAPTURE(text);
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message ==
              "'" + std::string(text) + "' is not a duration: write 90, 1.5, 30s, 5m, 1h30m or 1d");
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
