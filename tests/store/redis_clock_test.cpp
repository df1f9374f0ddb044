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

    ClockSample sample(Duration sent, Duration there, Duration back) const {
        return {sent, sent + there + back, sent + there + ahead, offset, epoch};
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
        const auto offset = estimate.take(clock.sample(11s, 0us, 0us));
        REQUIRE(offset);
        CHECK(*offset == -(clock.ahead - before.ahead));
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
    const auto offset = estimate.take(clock.sample(11s, 1ms, 1ms));
    REQUIRE(offset);
    // Not stored yet, it is asked for again.
    CHECK(estimate.take(clock.sample(12s, 1ms, 1ms)));
    clock.offset = *offset;
    clock.epoch = 4;
    CHECK_FALSE(estimate.take(clock.sample(13s, 1ms, 1ms)));
    CHECK(estimate.offset() == *offset);
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
