#include "server/pool/forecast.hpp"

#include "server/pool/pool.hpp"
#include "tests/support/catch.hpp"

using namespace std::chrono_literals;
using namespace sema;

namespace {

constexpr TimePoint start{1'000'000s};

/// A pool of which one lease has ended already, after `held`: so much is known.
struct Bench {
    Bench(unsigned count, Duration held, Duration cooldown = {}) : pool(PoolRecord{1, count}, start, limits) {
        pool.set(start, count, {{}, cooldown, true, {}}, effects);
        const Lease lease = grant(start - held - cooldown, 1000s);
        pool.give_back(start - cooldown, lease.id, effects);
        pool.advance_to(start, effects);
    }

    Lease grant(TimePoint now, Duration ttl, unsigned slots = 1) {
        const Claim claim{Ticket{next++}, LeaseId::random(), ttl, now, false, slots};
        return std::get<Pool::Held>(pool.borrow(now, claim, effects)).lease;
    }
    void queue_up(unsigned slots = 1) {
        const Claim claim{Ticket{next++}, LeaseId::random(), 60s, start + 300s, false, slots};
        REQUIRE(std::holds_alternative<Pool::Queued>(pool.borrow(start, claim, effects)));
    }
    std::optional<Duration> eta(TimePoint now, std::size_t rank = 1, unsigned slots = 1) const {
        return pool.eta(pool.forecast(now), rank, slots);
    }

    static inline const PoolLimits limits;
    Pool pool;
    Changes changes;
    Effects effects{changes};
    std::uint64_t next = 1;
};

}  // namespace

TEST_CASE("no mean is known before the first lease ended") {
    HoldTimes times;
    CHECK_FALSE(times.mean());
    times.add(0s);
    CHECK(times.mean() == 0s);
}

TEST_CASE("the first lease is the mean, and each later one moves it by an eighth of the difference") {
    HoldTimes times;
    times.add(80s);
    CHECK(times.mean() == 80s);
    times.add(160s);
    CHECK(times.mean() == 90s);
    times.add(10s);
    CHECK(times.mean() == 80s);
}

TEST_CASE("the mean follows what changes for good") {
    HoldTimes times;
    times.add(1h);
    for (int i = 0; i < 60; ++i)
        times.add(10s);
    CHECK(*times.mean() >= 10s);
    CHECK(*times.mean() < 15s);
}

TEST_CASE("nothing is forecast while no lease's length is known, or where there are no slots") {
    CHECK_FALSE(Forecast({}, 2, std::nullopt).until(1));
    CHECK_FALSE(Forecast({10s}, 0, 10s).until(1));
    CHECK_FALSE(Forecast({}, 0, 10s).until(1));
}

TEST_CASE("free slots can be lent at once, and the next one when the first lease ends") {
    const Forecast forecast({30s, 10s}, 4, 60s);
    CHECK(forecast.until(1) == 0s);
    CHECK(forecast.until(2) == 0s);
    CHECK(forecast.until(3) == 10s);
    CHECK(forecast.until(4) == 30s);
}

TEST_CASE("from its expected end on, a slot is lent again and again for one round") {
    const Forecast forecast({30s, 10s}, 2, 60s);
    CHECK(forecast.until(1) == 10s);
    CHECK(forecast.until(2) == 30s);
    CHECK(forecast.until(3) == 70s);
    CHECK(forecast.until(4) == 90s);
    CHECK(forecast.until(5) == 130s);
}

TEST_CASE(
    "where more slots are busy than the pool has by now, the first ends only bring it back to its count") {
    const Forecast forecast({10s, 20s, 30s, 40s}, 2, 60s);
    CHECK(forecast.until(1) == 30s);
    CHECK(forecast.until(2) == 40s);
    CHECK(forecast.until(3) == 90s);
    CHECK(forecast.until(4) == 100s);
}

TEST_CASE("a forecast of what lies beyond all time is the longest time there is") {
    CHECK(Forecast({10s}, 1, longest_duration).until(std::uint64_t{1} << 62) == longest_duration);
}

TEST_CASE("a pool estimates nothing before a lease of it has ended") {
    Bench bench(1, 10s);
    Pool fresh(PoolRecord{1, 1}, start, bench.limits);
    CHECK_FALSE(fresh.eta(fresh.forecast(start), 1, 1));
    CHECK(bench.eta(start) == 0s);
}

TEST_CASE("a lease is expected to last as long as those before it, and one that outlasts them longer still") {
    Bench bench(1, 10s);
    bench.grant(start, 1000s);
    CHECK(bench.eta(start) == 10s);
    CHECK(bench.eta(start + 4s) == 6s);
    CHECK(bench.eta(start + 10s) == 0s);
    CHECK(bench.eta(start + 25s) == 15s);
}

TEST_CASE("no lease is expected to last beyond its end") {
    Bench bench(1, 100s);
    bench.grant(start, 30s);
    CHECK(bench.eta(start) == 30s);
    CHECK(bench.eta(start + 20s) == 10s);
}

TEST_CASE("a slot is expected free when it has rested") {
    Bench bench(1, 10s, 5s);
    const Lease lease = bench.grant(start, 1000s);
    CHECK(bench.eta(start) == 15s);
    bench.pool.give_back(start + 10s, lease.id, bench.effects);
    CHECK(bench.eta(start + 10s) == 5s);
    CHECK(bench.eta(start + 12s) == 3s);
}

TEST_CASE("those ahead in the queue are counted with the slots that they want on the average") {
    Bench bench(2, 10s);
    bench.grant(start, 1000s, 2);
    bench.queue_up(2);
    CHECK(bench.eta(start, 1, 2) == 10s);
    CHECK(bench.eta(start, 2, 1) == 20s);
    CHECK(bench.eta(start, 2, 2) == 20s);
    bench.queue_up(2);
    CHECK(bench.eta(start, 3, 2) == 30s);
}

TEST_CASE("nobody is expected to be served before a large claim at the head, whatever is free") {
    Bench bench(4, 10s);
    bench.grant(start, 1000s);
    bench.queue_up(4);
    bench.queue_up();
    CHECK(bench.eta(start, 1, 4) == 10s);
    CHECK(bench.eta(start, 2) == 10s);
    CHECK(bench.pool.view(start).eta == 10s);
}

TEST_CASE("who wants more slots than there are is given no estimate") {
    Bench bench(2, 10s);
    CHECK(bench.eta(start, 1, 2) == 0s);
    CHECK_FALSE(bench.eta(start, 1, 3));
}

TEST_CASE("whoever is away keeps no free slot from a newcomer") {
    Bench bench(1, 10s);
    const Lease lease = bench.grant(start, 1000s);
    const Claim claim{Ticket{99}, LeaseId::random(), 60s, start + 300s, true};
    REQUIRE(std::holds_alternative<Pool::Queued>(bench.pool.borrow(start, claim, bench.effects)));
    CHECK(bench.pool.view(start).eta == 20s);
    REQUIRE(bench.pool.leave(start, claim.ticket, bench.changes));
    CHECK(bench.pool.view(start).eta == 20s);
    bench.pool.give_back(start, lease.id, bench.effects);
    REQUIRE(bench.pool.available() == 1);
    CHECK(bench.pool.view(start).eta == 0s);
}
