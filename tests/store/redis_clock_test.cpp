#include "server/store/redis_clock.hpp"

#include "tests/support/catch.hpp"

using namespace std::chrono_literals;
using namespace sema;
using redis::ClockEstimate;
using redis::ClockSample;

namespace {

/// A store's clock that is `ahead` of CLOCK_BOOTTIME, and answers after `there` and `back`.
struct StoreClock {
    Duration ahead{};
    Duration offset{};
    std::uint64_t epoch = 0;
    /// How long ago somebody found it right.
    std::optional<Duration> seen_ago{};

    ClockSample sample(Duration sent, Duration there, Duration back) const {
        ClockSample sample{sent, sent + there + back, sent + there + ahead, offset, epoch};
        if (seen_ago) sample.seen = sample.wall - *seen_ago;
        return sample;
    }
};

}  // namespace

TEST_CASE("the estimate is behind the store's time by as much as the answer was under way") {
    ClockEstimate estimate;
    CHECK(estimate.is_empty());
    const StoreClock clock{1000s};
    CHECK_FALSE(estimate.take(clock.sample(10s, 3ms, 4ms)));
    CHECK(estimate.lead() == 1000s - 4ms);
}

TEST_CASE("the quickest answer counts, less and less with time") {
    ClockEstimate estimate;
    const StoreClock clock{-50s};
    estimate.take(clock.sample(10s, 1ms, 200us));
    estimate.take(clock.sample(11s, 1ms, 30ms));
    // By then the clocks may have drifted apart.
    CHECK(estimate.lead() == -50s - 200us - (1s + 29800us) * ClockEstimate::drift / 1'000'000);
    estimate.take(clock.sample(12s, 1ms, 100us));
    CHECK(estimate.lead() == -50s - 100us);
}

TEST_CASE("a clock that drifts is followed, and never overtaken") {
    ClockEstimate estimate;
    StoreClock clock{100s};
    for (Duration now = 1s; now < 600s; now += 250ms) {
        clock.ahead -= 250ms * 400 / 1'000'000;
        CHECK_FALSE(estimate.take(clock.sample(now, 1ms, 1ms)));
        REQUIRE(estimate.lead() <= clock.ahead);
        REQUIRE(estimate.lead() >= clock.ahead - 5ms);
    }
}

TEST_CASE("only what lies more than half a second outside of all that is known is a step") {
    for (const Duration direction : {1us, -1us}) {
        StoreClock clock{1000s};
        ClockEstimate estimate;
        estimate.take(clock.sample(10s, 0us, 0us));
        const StoreClock before = clock;
        // Half a second, and what the clocks may have drifted apart in a second.
        const Duration most = 500ms + 500us;
        clock.ahead = before.ahead + most * direction.count();
        ClockEstimate other = estimate;
        CHECK_FALSE(other.take(clock.sample(11s, 0us, 0us)));
        CHECK(other.lead() == clock.ahead);
        clock.ahead += direction;
        const auto correction = estimate.take(clock.sample(11s, 0us, 0us));
        REQUIRE(correction);
        CHECK(correction->offset == -(clock.ahead - before.ahead));
        CHECK(correction->epoch == 1);
        CHECK(estimate.lead() == before.ahead);
    }
}

TEST_CASE("an answer that was long under way proves no step") {
    ClockEstimate estimate;
    const StoreClock clock{0s};
    estimate.take(clock.sample(10s, 0us, 0us));
    CHECK_FALSE(estimate.take(clock.sample(11s, 5s, 0us)));
    CHECK_FALSE(estimate.take(clock.sample(17s, 0us, 5s)));
    CHECK(estimate.lead() <= 0s);
    CHECK(estimate.lead() >= -10ms);
}

TEST_CASE("a step that was taken back leaves the timeline as it was") {
    ClockEstimate estimate;
    StoreClock clock{1000s, 7s, 3};
    estimate.take(clock.sample(10s, 1ms, 1ms));
    const Duration before = estimate.lead();
    clock.ahead += 3600s;
    const auto correction = estimate.take(clock.sample(11s, 1ms, 1ms));
    REQUIRE(correction);
    // Not stored yet, it is asked for again.
    CHECK(estimate.take(clock.sample(12s, 1ms, 1ms)));
    CHECK(correction->epoch == 4);
    clock.offset = correction->offset;
    clock.epoch = 4;
    CHECK_FALSE(estimate.take(clock.sample(13s, 1ms, 1ms)));
    CHECK(estimate.offset() == correction->offset);
    CHECK(std::chrono::abs(estimate.lead() - before) <= 2ms);
}

TEST_CASE("a timeline that somebody else corrected is the truth at once") {
    ClockEstimate estimate;
    StoreClock clock{1000s};
    estimate.take(clock.sample(10s, 1ms, 1ms));
    clock.epoch = 1;
    clock.offset = -400s;
    CHECK_FALSE(estimate.take(clock.sample(11s, 1ms, 1ms)));
    CHECK(estimate.lead() == 600s - 1ms);
    CHECK(estimate.offset() == -400s);
}

TEST_CASE("a step of less than half a second is followed both ways") {
    for (const Duration step : {400ms, -400ms}) {
        ClockEstimate estimate;
        StoreClock clock{1000s};
        estimate.take(clock.sample(10s, 1ms, 1ms));
        clock.ahead += step;
        CHECK_FALSE(estimate.take(clock.sample(11s, 1ms, 1ms)));
        CHECK(estimate.lead() == clock.ahead - 1ms);
    }
}

TEST_CASE("a machine that was halted goes by the clock that others find right") {
    ClockEstimate estimate;
    StoreClock clock{1000s};
    estimate.take(clock.sample(10s, 1ms, 1ms));
    clock.ahead += 20s;
    clock.seen_ago = 300ms;
    CHECK_FALSE(estimate.take(clock.sample(11s, 1ms, 1ms)));
    CHECK(estimate.lead() == 1020s - 1ms);
}

TEST_CASE("a clock that nobody has found right lately, or that went back, was stepped") {
    StoreClock clock{1000s};
    ClockEstimate estimate;
    estimate.take(clock.sample(10s, 1ms, 1ms));
    // The last who looked did so before the step.
    StoreClock later = clock;
    later.ahead += 20s;
    later.seen_ago = 20s + 10ms;
    CHECK(ClockEstimate(estimate).take(later.sample(11s, 1ms, 1ms)));
    later.seen_ago = 500ms;
    CHECK(ClockEstimate(estimate).take(later.sample(11s, 1ms, 1ms)));
    // A store whose machine was halted has nobody who looked, and its clock has stood still.
    StoreClock earlier = clock;
    earlier.ahead -= 20s;
    for (const auto ago : {10ms, -10ms}) {
        earlier.seen_ago = ago;
        CHECK(ClockEstimate(estimate).take(earlier.sample(11s, 1ms, 1ms)));
    }
}

TEST_CASE("a store that has lost its last correction is told it again") {
    StoreClock clock{1000s};
    ClockEstimate estimate;
    clock.offset = -400s;
    clock.epoch = 3;
    estimate.take(clock.sample(10s, 0us, 0us));
    clock.seen_ago = 100ms;
    for (const std::uint64_t epoch : {0, 2}) {
        for (const auto offset : {0s, -400s, 70s}) {
            clock.epoch = epoch;
            clock.offset = offset;
            const auto correction = estimate.take(clock.sample(11s, 0us, 0us));
            REQUIRE(correction);
            CHECK(correction->offset == -400s);
            CHECK(correction->epoch == 4);
        }
    }
}

TEST_CASE("another offset of the same number that gives the same time is taken over") {
    ClockEstimate estimate;
    StoreClock clock{1000s, 7s, 1};
    estimate.take(clock.sample(10s, 0us, 0us));
    clock.ahead += 20s;
    clock.offset -= 20s;
    CHECK_FALSE(estimate.take(clock.sample(11s, 0us, 0us)));
    CHECK(estimate.offset() == -13s);
    CHECK(estimate.lead() == 1007s);
}
