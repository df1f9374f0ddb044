#include "server/store/shared/clock_estimate.hpp"

#include "tests/support/catch.hpp"

using namespace std::chrono_literals;
using namespace sema;
using shared::ClockEstimate;
using shared::ClockSample;

namespace {

constexpr Duration doubt = ClockEstimate::doubt_time;

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
        clock.ahead += direction * 1000;
        CHECK_FALSE(estimate.take(clock.sample(11s, 0us, 0us)));
        CHECK(estimate.lead() == before.ahead);
        CHECK(estimate.take(clock.sample(11s + doubt, 0us, 0us)) == 1);
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
    CHECK_FALSE(estimate.take(clock.sample(11s, 1ms, 1ms)));
    CHECK_FALSE(estimate.take(clock.sample(11s + doubt - 1us, 1ms, 1ms)));
    CHECK(estimate.take(clock.sample(11s + doubt, 1ms, 1ms)) == 4);
    // Not stored yet, it is asked for again.
    CHECK(estimate.take(clock.sample(12s, 1ms, 1ms)) == 4);
    clock.offset -= 3600s;
    clock.epoch = 4;
    CHECK_FALSE(estimate.take(clock.sample(13s, 1ms, 1ms)));
    CHECK(estimate.offset() == 7s - 3600s);
    CHECK(std::chrono::abs(estimate.lead() - before) <= 2ms);
}

TEST_CASE("a step that is over by the second look never was") {
    ClockEstimate estimate;
    StoreClock clock{1000s};
    estimate.take(clock.sample(10s, 0us, 0us));
    for (Duration now = 11s; now < 20s; now += 500ms) {
        StoreClock stepped = clock;
        stepped.ahead -= 3600s;
        CHECK_FALSE(estimate.take(stepped.sample(now, 0us, 0us)));
        CHECK_FALSE(estimate.take(clock.sample(now + 250ms, 0us, 0us)));
    }
    CHECK(std::chrono::abs(estimate.lead() - 1000s) < 1ms);
}

TEST_CASE("a correction of somebody else's is no more believed than the clock") {
    ClockEstimate estimate;
    StoreClock clock{1000s};
    estimate.take(clock.sample(10s, 0us, 0us));
    // The clock went back to what it was right after it was corrected.
    clock.epoch = 1;
    clock.offset = -400s;
    CHECK_FALSE(estimate.take(clock.sample(11s, 0us, 0us)));
    CHECK(estimate.lead() == 1000s);
    CHECK(estimate.take(clock.sample(11s + doubt, 0us, 0us)) == 2);
    CHECK(estimate.lead() == 1000s);
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

TEST_CASE("a machine that was halted goes by the clock that others find right meanwhile") {
    for (const Duration by : {20s, -20s}) {
        ClockEstimate estimate;
        StoreClock clock{1000s};
        estimate.take(clock.sample(10s, 1ms, 1ms));
        clock.ahead += by;
        clock.seen_ago = 300ms;
        CHECK_FALSE(estimate.take(clock.sample(11s, 1ms, 1ms)));
        CHECK(estimate.lead() == 1000s - 1ms);
        clock.seen_ago = 200ms;
        CHECK_FALSE(estimate.take(clock.sample(11s + doubt, 1ms, 1ms)));
        CHECK(estimate.lead() == 1000s + by - 1ms);
    }
}

TEST_CASE("a machine that was halted waits for an answer that was quick, but not for ever") {
    for (const Duration under_way : {50ms, 51ms}) {
        ClockEstimate estimate;
        StoreClock clock{1000s};
        estimate.take(clock.sample(10s, 0us, 1ms));
        clock = {1020s, 0us, 0, 100ms};
        CHECK_FALSE(estimate.take(clock.sample(11s, 0us, 1ms)));
        const auto take = [&](Duration received) {
            CHECK_FALSE(estimate.take(clock.sample(received - under_way, 0us, under_way)));
            return !estimate.is_in_doubt();
        };
        const Duration doubted = 11s + 1ms;
        const bool is_quick = under_way == 50ms;
        CHECK(take(doubted + doubt) == is_quick);
        CHECK(take(doubted + ClockEstimate::patience - 1us) == is_quick);
        CHECK(take(doubted + ClockEstimate::patience));
        CHECK(estimate.lead() == 1020s - under_way);
    }
}

TEST_CASE("a clock that nobody has found right since it is doubted, or not as it is now, was stepped") {
    StoreClock clock{1000s};
    ClockEstimate before;
    before.take(clock.sample(10s, 0us, 0us));
    clock.ahead += 20s;
    clock.seen_ago = 100ms;
    // Nobody has looked again.
    ClockEstimate estimate = before;
    CHECK_FALSE(estimate.take(clock.sample(11s, 0us, 0us)));
    clock.seen_ago = 100ms + doubt;
    CHECK(estimate.take(clock.sample(11s + doubt, 0us, 0us)) == 1);
    // Somebody has, while it showed another time.
    estimate = before;
    CHECK_FALSE(estimate.take(clock.sample(11s, 0us, 0us)));
    clock.seen_ago = 20s;
    CHECK(estimate.take(clock.sample(11s + doubt, 0us, 0us)) == 1);
    // Or somebody did so before it was corrected, which begins the doubt anew.
    estimate = before;
    clock.seen_ago = 100ms;
    CHECK_FALSE(estimate.take(clock.sample(11s, 0us, 0us)));
    clock.epoch = 1;
    CHECK_FALSE(estimate.take(clock.sample(11s + doubt, 0us, 0us)));
    CHECK(estimate.lead() == 1000s);
}

TEST_CASE("a store that has lost its last correction is told it again at once") {
    StoreClock clock{1000s};
    ClockEstimate estimate;
    clock.offset = -400s;
    clock.epoch = 3;
    estimate.take(clock.sample(10s, 0us, 0us));
    clock.seen_ago = 100ms;
    for (const std::uint64_t epoch : {0U, 2U}) {
        for (const auto offset : {0s, -400s, 70s}) {
            clock.epoch = epoch;
            clock.offset = offset;
            CHECK(estimate.take(clock.sample(11s, 0us, 0us)) == 4);
            CHECK(estimate.lead() == 600s);
        }
    }
}

TEST_CASE("another offset that gives the same time is taken over") {
    ClockEstimate estimate;
    StoreClock clock{1000s, 7s, 1};
    estimate.take(clock.sample(10s, 0us, 0us));
    clock.ahead += 20s;
    clock.offset -= 20s;
    CHECK_FALSE(estimate.take(clock.sample(11s, 0us, 0us)));
    CHECK(estimate.offset() == -13s);
    CHECK(estimate.lead() == 1007s);
}
