#include "tests/service/bench.hpp"

#include <algorithm>
#include <thread>

// The list of all pools.

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Bench;
using sema::test::StoreFaults;

namespace {

using Entries = std::vector<wire::PoolList::Entry>;

Entries listed(const Bench::Call& call) {
    const auto list = wire::parse_pool_list(*call.as<PoolsListed>().json);
    REQUIRE(list);
    return list->pools;
}

Entries listed(Bench& bench) {
    const auto list = bench.list_pools();
    bench.flush();
    return listed(list);
}

// As many pools as several pages of a list hold, by id; the bench's own is none of them.
std::vector<PoolId> make_pools(Bench& bench, std::size_t count) {
    const PoolId own = bench.pool;
    std::vector<PoolId> pools(count);
    for (PoolId& pool : pools) {
        pool = bench.pool = PoolId::random();
        bench.put(3);
    }
    bench.flush();
    bench.pool = own;
    std::sort(pools.begin(), pools.end());
    return pools;
}

std::vector<PoolId> ids_of(const Entries& entries) {
    std::vector<PoolId> ids;
    for (const auto& entry : entries)
        ids.push_back(entry.id);
    return ids;
}

}  // namespace

TEST_CASE("all pools are listed by their ids, those that were not used since the start too") {
    Bench bench;
    CHECK(listed(bench).empty());
    const auto pools = make_pools(bench, 350);
    CHECK(ids_of(listed(bench)) == pools);
    bench.restart();
    CHECK(ids_of(listed(bench)) == pools);
    // Now some are in use, and some are not.
    for (std::size_t i = 0; i < pools.size(); i += 7) {
        bench.pool = pools[i];
        bench.granted();
    }
    const Entries entries = listed(bench);
    REQUIRE(ids_of(entries) == pools);
    for (std::size_t i = 0; i < pools.size(); ++i) {
        CHECK(entries[i].in_use == (i % 7 == 0 ? 1 : 0));
        CHECK(entries[i].available == (i % 7 == 0 ? 2 : 3));
        CHECK(entries[i].count == 3);
    }
}

TEST_CASE("a whole number of pages is listed, and no more") {
    for (const std::size_t count : {24U, 25U, 26U, 50U}) {
        Bench bench;
        const auto pools = make_pools(bench, count);
        CHECK(ids_of(listed(bench)) == pools);
        bench.restart();
        CHECK(ids_of(listed(bench)) == pools);
    }
}

TEST_CASE("a list tells names, slots and waiters, the same before and after a pool's first use") {
    Bench bench;
    bench.put({.count = 2, .settings = {.name = "seats", .cooldown = 10s}});
    bench.flush();
    bench.granted(60s);
    const Lease short_lease = bench.granted(20s);
    bench.borrow(LeaseId::random(), 100s);
    bench.flush();
    const auto check = [&](unsigned in_use, unsigned available) {
        const Entries entries = listed(bench);
        REQUIRE(entries.size() == 1);
        CHECK(entries[0].name == "seats");
        CHECK(entries[0].count == 2);
        CHECK(entries[0].in_use == in_use);
        CHECK(entries[0].available == available);
        CHECK(entries[0].queue == 1);
    };
    check(2, 0);
    bench.restart();
    check(2, 0);
    // The shorter lease has ended, and its slot rests.
    bench.clock.pass(21s);
    check(1, 0);
    bench.clock.pass(10s);
    check(1, 1);
    const auto used = bench.inspect();
    bench.flush();
    check(1, 1);
}

TEST_CASE("a list tells nothing that is not stored") {
    Bench bench;
    bench.made(2);
    const auto list = bench.list_pools();
    const auto put = bench.put(3);
    CHECK_FALSE(list.answered());
    bench.flush();
    CHECK(put.answered());
    CHECK(listed(list).at(0).count == 3);

    bench.faults->fail_commits(1);
    const auto failing = bench.put(4);
    const auto during = bench.list_pools();
    bench.flush();
    CHECK(failing.is(Refusal::store_failed));
    CHECK(listed(during).at(0).count == 3);
}

TEST_CASE("a list waits for changes that came while it was made, and fails with them") {
    for (const bool can_store : {true, false}) {
        Bench bench;
        bench.made(2);
        const auto list = bench.list_pools();
        bench.put(3);
        Bench::Call borrow;
        {
            StoreFaults::Gate gate(*bench.faults);
            std::thread committer([&] { bench.service->flush(); });
            gate.await_commit();
            // The page is taken up behind this commit, and rests on the next one.
            borrow = bench.borrow();
            gate.open();
            committer.join();
        }
        CHECK_FALSE(borrow.answered());
        CHECK_FALSE(list.answered());
        if (!can_store) bench.faults->fail_commits(1);
        bench.flush();
        if (can_store) {
            CHECK(borrow.answered());
            CHECK(listed(list).at(0).in_use == 1);
        } else {
            CHECK(borrow.is(Refusal::store_failed));
            CHECK(list.is(Refusal::store_failed));
            CHECK(listed(bench).at(0).in_use == 0);
        }
    }
}

TEST_CASE("a pool that is deleted or made while others are listed is told or not") {
    Bench bench;
    const auto pools = make_pools(bench, 250);
    const auto list = bench.list_pools();
    bench.service->flush();
    for (const PoolId& pool : pools) {
        bench.pool = pool;
        bench.remove();
    }
    bench.flush();
    CHECK(listed(list).size() <= 250);
    CHECK(listed(bench).empty());
}

TEST_CASE("a list is made a few pools at a time") {
    Bench bench;
    make_pools(bench, 450);
    const auto list = bench.list_pools();
    int rounds = 1;
    while (bench.service->flush())
        ++rounds;
    CHECK(listed(list).size() == 450);
    CHECK(rounds >= 10);
    CHECK(rounds <= 30);
}

TEST_CASE("a store that cannot be read has no list") {
    Bench bench;
    make_pools(bench, 5);
    bench.restart();
    bench.faults->fail_loads();
    const auto list = bench.list_pools();
    bench.flush();
    CHECK(list.is(Refusal::store_failed));
    CHECK(bench.trouble.size() == 1);
    bench.faults->heal();
    CHECK(listed(bench).size() == 5);
}

TEST_CASE("lists count until the last copy of them is gone") {
    Bench bench;
    bench.made(1);
    std::vector<Bench::Call> lists;
    for (int i = 0; i < 4; ++i)
        lists.push_back(bench.list_pools());
    CHECK(bench.list_pools().is(Refusal::too_many_lists));
    bench.flush();
    for (const auto& list : lists)
        CHECK(listed(list).size() == 1);
    CHECK(bench.list_pools().is(Refusal::too_many_lists));
    lists.pop_back();
    CHECK(listed(bench).size() == 1);
    lists.clear();
    CHECK(listed(bench).size() == 1);
}

TEST_CASE("a refused list does not count") {
    Bench bench;
    bench.made(1);
    bench.restart();
    bench.faults->fail_loads();
    std::vector<Bench::Call> lists;
    for (int i = 0; i < 10; ++i) {
        lists.push_back(bench.list_pools());
        bench.flush();
        CHECK(lists.back().is(Refusal::store_failed));
    }
}

TEST_CASE("lists end with the service") {
    Bench bench;
    make_pools(bench, 300);
    const auto list = bench.list_pools();
    bench.service->flush();
    bench.service->drain();
    bench.flush();
    CHECK(list.is(Refusal::shutting_down));
    CHECK(bench.list_pools().is(Refusal::shutting_down));
}
