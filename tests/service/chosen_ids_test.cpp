#include "server/service/chosen_ids.hpp"

#include "tests/support/catch.hpp"

using namespace std::chrono_literals;
using namespace sema;

namespace {

constexpr TimePoint start{1000s};

struct Bench {
    LeaseId id = LeaseId::random();
    PoolId pool = PoolId::random();
    PoolId other = PoolId::random();
};

}  // namespace

TEST_CASE("an id is taken for one pool, as often as it likes") {
    Bench bench;
    ChosenIds ids({});
    CHECK(ids.take(bench.id, bench.pool, start));
    CHECK(ids.take(bench.id, bench.pool, start));
    CHECK_FALSE(ids.take(bench.id, bench.other, start));
    CHECK(ids.take(LeaseId::random(), bench.other, start));
}

TEST_CASE("an id that was let go is free at once") {
    Bench bench;
    ChosenIds ids({});
    ids.take(bench.id, bench.pool, start);
    ids.free(bench.id, bench.pool);
    CHECK(ids.take(bench.id, bench.other, start));
}

TEST_CASE("an id is free again when its time is over, though nobody let it go") {
    Bench bench;
    ChosenIds ids({});
    ids.keep(bench.id, bench.pool, start + 10s, start);
    CHECK_FALSE(ids.take(bench.id, bench.other, start + 10s - 1ms));
    CHECK(ids.take(bench.id, bench.other, start + 10s));
    // What the first pool notices later changes nothing.
    ids.free(bench.id, bench.pool);
    CHECK_FALSE(ids.take(bench.id, bench.pool, start + 1000s));
}

TEST_CASE("leases of an earlier run have their ids until their time is over") {
    Bench bench;
    const LeaseId past = LeaseId::random();
    ChosenIds ids({{bench.id, bench.pool, start + 10s}, {past, bench.pool, start}});
    CHECK_FALSE(ids.take(bench.id, bench.other, start));
    CHECK(ids.take(bench.id, bench.pool, start));
    CHECK(ids.take(past, bench.other, start));
}
