#include "server/history/replay.hpp"

#include "server/history/statistics.hpp"
#include "tests/history/recorded_run.hpp"

#include <random>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

/// Borrowers at random, so many that they have to wait for each other most of the time.
RecordedRun busy_run(unsigned seed, unsigned count, Duration cooldown, int borrowers) {
    std::mt19937 random(seed);
    const auto any = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(most)); };
    RecordedRun run(count, cooldown);
    Duration now{};
    for (int i = 0; i < borrowers; ++i) {
        now += std::chrono::microseconds(any(20'000'000));
        Borrower borrower{.comes = now, .holds = std::chrono::microseconds(1 + any(60'000'000))};
        if (any(4) == 0) borrower.priority = any(7) - 3;
        if (any(5) == 0) borrower.slots = 1 + static_cast<unsigned>(any(static_cast<int>(count)));
        if (any(6) == 0) borrower.waits = std::chrono::microseconds(any(90'000'000));
        if (any(9) == 0) borrower.waits = 0s;
        run.add(borrower);
    }
    return run;
}

void check_exact(const Past& past, unsigned count) {
    const Replay replay(past);
    const Replayed was = replay.as_it_was();
    const Replayed again = replay.with(count);
    CHECK(again.waits == was.waits);
    CHECK(again.refusals == was.refusals);
}

}  // namespace

TEST_CASE("what was recorded, replayed with the count that there was, waits as it did") {
    const unsigned seed = GENERATE(1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U);
    const Duration cooldown = seed % 2 == 0 ? 0s : 3s;
    CAPTURE(seed);
    RecordedRun run = busy_run(seed, 3, cooldown, 2000);
    const Past past = run.go(24h);
    const Replayed was = Replay(past).as_it_was();
    REQUIRE(was.waits.size() > 1000);
    REQUIRE(was.refusals > 100);
    REQUIRE(was.waits.back() > 1min);
    check_exact(past, 3);
}

TEST_CASE("a replay that ends amid the work is as exact") {
    RecordedRun run = busy_run(11, 4, 1s, 1000);
    const Past past = run.go(1h);
    REQUIRE(!past.now->leases.empty());
    check_exact(past, 4);
}

TEST_CASE("a replay that begins amid the work is nearly as exact") {
    RecordedRun run = busy_run(12, 3, 0s, 3000);
    const Past past = run.go(24h, 2h);
    const Replay replay(past);
    const Replayed was = replay.as_it_was();
    const Replayed again = replay.with(3);
    REQUIRE(was.waits.size() > 500);
    REQUIRE(again.waits.size() == was.waits.size());
    CHECK(again.refusals == was.refusals);
    CHECK(times_of(again.waits).p95 == times_of(was.waits).p95);
}

TEST_CASE("more slots make waits shorter, and fewer make them longer") {
    RecordedRun run = busy_run(21, 3, 0s, 2000);
    const Past past = run.go(48h);
    const Replay replay(past);
    Duration before = Duration::max();
    for (unsigned count = 1; count <= 7; ++count) {
        const auto p95 = *times_of(replay.with(count).waits).p95;
        CHECK(p95 <= before);
        before = p95;
    }
}

TEST_CASE("two borrowers of one slot, and what a second slot would have done") {
    RecordedRun run(1);
    run.add({.comes = 0s, .holds = 10min});
    run.add({.comes = 1min, .holds = 5min});
    const Past past = run.go(1h);
    const Replay replay(past);
    CHECK(replay.with(1).waits == Waits{0s, 9min});
    CHECK(replay.with(2).waits == Waits{0s, 0s});
}

TEST_CASE("who gave up is served where there are more slots") {
    RecordedRun run(1);
    run.add({.comes = 0s, .holds = 10min});
    run.add({.comes = 1min, .holds = 5min, .waits = 2min});
    run.add({.comes = 2min, .holds = 5min, .waits = 0s});
    const Past past = run.go(1h);
    const Replay replay(past);
    CHECK(replay.as_it_was().refusals == 2);
    CHECK(replay.with(1).refusals == 2);
    // The one who did not wait finds that slot taken by the one who did.
    CHECK(replay.with(2).refusals == 1);
    CHECK(replay.with(3).refusals == 0);
}

TEST_CASE("who only looked takes no slot from anybody") {
    RecordedRun run(1);
    run.add({.comes = 0s, .holds = 10min});
    for (int i = 1; i < 100; ++i)
        run.add({.comes = std::chrono::seconds(i), .holds = 5min, .waits = 0s});
    run.add({.comes = 2min, .holds = 5min});
    const Past past = run.go(1h);
    CHECK(Replay(past).with(1).refusals == 99);
    CHECK(Replay(past).with(2).refusals == 0);
    CHECK(Replay(past).with(2).waits == Waits{0s, 0s});
}

TEST_CASE("who asks for more slots than there would have been gets none") {
    RecordedRun run(2);
    run.add({.comes = 0s, .holds = 10min, .slots = 2});
    run.add({.comes = 0s, .holds = 10min, .slots = 1});
    const Past past = run.go(1h);
    CHECK(Replay(past).with(1).refusals == 1);
    CHECK(Replay(past).with(1).waits == Waits{0s});
}

TEST_CASE("a count was there all the time, whatever the pool had") {
    RecordedRun run(1);
    run.add({.comes = 0s, .holds = 10min});
    run.add({.comes = 1min, .holds = 10min});
    run.resize(3min, 3);
    run.add({.comes = 4min, .holds = 10min});
    run.resize(5min, 0);
    run.add({.comes = 15min, .holds = 1min});
    run.resize(20min, 3);
    const Past past = run.go(1h);
    const Replay replay(past);
    CHECK(replay.as_it_was().waits == Waits{0s, 0s, 2min, 5min});
    CHECK(replay.with(3).waits == Waits{0s, 0s, 0s, 0s});
    CHECK(replay.with(2).waits == Waits{0s, 0s, 0s, 6min});
    CHECK(replay.with(1).waits == Waits{0s, 9min, 15min, 16min});
}

TEST_CASE("a replay ends early where that is wanted") {
    RecordedRun run = busy_run(41, 3, 0s, 1000);
    const Past past = run.go(24h);
    int asked = 0;
    CHECK_FALSE(Replay(past).with(2, [&] { return ++asked == 3; }));
    CHECK(asked == 3);
}

TEST_CASE("a replay of nothing is nothing") {
    RecordedRun run(2);
    const Past past = run.go(1h);
    CHECK(Replay(past).with(6).waits.empty());
    CHECK(Replay(past).with(1).refusals == 0);
}

// How long it takes is to be looked at by hand: a time that is judged fails on whatever machine is busy.
TEST_CASE("seven replays of a hundred thousand leases, though the queue is long", "[.long]") {
    RecordedRun run = busy_run(31, 3, 1s, 100'000);
    const Past past = run.go(1000h);
    const Replay replay(past);
    const auto begun = std::chrono::steady_clock::now();
    for (unsigned count = 1; count <= 7; ++count)
        CHECK(replay.with(count).waits.size() > 0);
    const auto took = std::chrono::steady_clock::now() - begun;
    WARN(past.leases.size() << " leases: "
                            << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms");
}
