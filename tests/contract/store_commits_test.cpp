#include "tests/contract/subject.hpp"

// What a commit does to pools, their versions and their fences, and when it does nothing.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

TEST_CASE("a deleted pool is gone, its leases too when it is made again") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 1, 4, {some_slot(0), some_slot(1)});
        store.put_pool(pool_b, 1, 2, {some_slot(0)});
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(0).clear()})));
        CHECK(absent(*store, pool_a));
        CHECK(store->pool_count().value() == 1);

        store.put_pool(pool_a, 100, 3);
        CHECK(loaded(*store, pool_a).version == 100);
        CHECK(loaded(*store, pool_a).count == 3);
        CHECK(loaded(*store, pool_a).slots.empty());
        CHECK(loaded(*store, pool_b).slots.size() == 1);
    });
}

TEST_CASE("a pool deleted and made again in one batch has the new rows alone") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 1, 4, {some_slot(0), some_slot(3)});
        const HeldSlot fresh = some_slot(1);
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(77).clear().count(2).put(fresh)})));
        const auto pool = loaded(*store, pool_a);
        CHECK(pool.version == 77);
        CHECK(pool.count == 2);
        CHECK(pool.slots == Leases{fresh});
        CHECK(store->pool_count().value() == 1);
    });
}

TEST_CASE("a pool made and deleted before it was ever committed leaves nothing") {
    on_every_store([](Subject& store) {
        REQUIRE(committed(store.commit({change(pool_a).from(0).to(0).clear()})));
        CHECK(absent(*store, pool_a));
        CHECK(store->pool_count().value() == 0);
    });
}

TEST_CASE("a change from another version than the stored one is stale and changes nothing") {
    on_every_store([](Subject& store) {
        const HeldSlot lease = some_slot(0);
        store.put_pool(pool_a, 5, 4, {lease});
        CHECK(stale(store.commit({change(pool_a).from(4).to(6).count(9).drop(0)})));
        CHECK(stale(store.commit({change(pool_a).from(6).to(7).put(some_slot(1))})));
        CHECK(stale(store.commit({change(pool_a).from(0).to(6).count(9).put(some_slot(1))})));
        CHECK(stale(store.commit({change(pool_a).from(4).to(0).clear()})));
        CHECK(stale(store.commit({change(pool_a).from(0).to(0).clear()})));
        CHECK(stale(store.commit({change(pool_b).from(1).to(2).count(9)})));
        CHECK(stale(store.commit({change(pool_b).from(1).to(0).clear()})));
        CHECK(loaded(*store, pool_a).version == 5);
        CHECK(loaded(*store, pool_a).count == 4);
        CHECK(loaded(*store, pool_a).slots == Leases{lease});
        CHECK(absent(*store, pool_b));
    });
}

TEST_CASE("one stale change keeps the whole batch from being applied, the anchor included") {
    on_every_store([](Subject& store) {
        if (store.batches() == Batches::single_changes) return;
        store.put_pool(pool_a, 1, 4);
        store.put_pool(pool_b, 1, 4);
        const PoolChange good = change(pool_a).from(1).to(2).count(8).put(some_slot(0));
        const PoolChange outdated = change(pool_b).from(9).to(10).count(8);
        const PoolChange fresh = change(PoolId::random()).to(1).count(1);
        const ClockAnchor anchor{"boot", 1s, 2s, TimePoint(3s)};
        for (const auto& batch : std::vector<std::vector<PoolChange>>{
                 {good, fresh, outdated}, {outdated, fresh, good}, {good, outdated, fresh}}) {
            CHECK(stale(store->commit(batch, anchor)));
            CHECK(loaded(*store, pool_a).version == 1);
            CHECK(loaded(*store, pool_a).count == 4);
            CHECK(loaded(*store, pool_a).slots.empty());
            CHECK(loaded(*store, pool_b).version == 1);
            CHECK(store->pool_count().value() == 2);
            CHECK_FALSE(store->anchor().value());
        }
        CHECK(committed(store.commit({good, fresh})));
    });
}

TEST_CASE("the changes of a batch are told of in their order, by a store that applies each on its own") {
    on_every_store([](Subject& store) {
        if (store.batches() == Batches::whole) return;
        store.put_pool(pool_a, 1, 4);
        store.put_pool(pool_b, 1, 4);
        const PoolId fresh = PoolId::random();
        const auto results =
            store.commit({change(pool_a).from(1).to(2).count(8), change(pool_b).from(9).to(10).count(8),
                          change(fresh).to(1).count(1)});
        REQUIRE(results.size() == 3);
        CHECK(std::holds_alternative<Committed>(results[0]));
        CHECK(std::holds_alternative<Stale>(results[1]));
        CHECK(std::holds_alternative<Committed>(results[2]));
        CHECK(loaded(*store, pool_a).count == 8);
        CHECK(loaded(*store, pool_b).count == 4);
        CHECK(store->pool_count().value() == 3);
    });
}

TEST_CASE("a change that changes nothing compares the versions alone") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 5, 4, {some_slot(0)});
        CHECK(committed(store.commit({change(pool_b).from(0).to(0)})));
        CHECK(stale(store.commit({change(pool_a).from(0).to(0)})));
        if (store.batches() == Batches::single_changes) {
            CHECK(committed(store.commit({change(pool_a).from(5).to(5)})));
            CHECK(stale(store.commit({change(pool_a).from(4).to(4)})));
            CHECK(stale(store.commit({change(pool_b).from(4).to(4)})));
        }
        CHECK(loaded(*store, pool_a).version == 5);
        CHECK(loaded(*store, pool_a).slots.size() == 1);
        CHECK(absent(*store, pool_b));
    });
}

TEST_CASE("a batch changes all of its pools") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 1, 4, {some_slot(0)});
        store.put_pool(pool_b, 1, 4);
        const PoolId pool_c = PoolId::random();
        const HeldSlot lease = some_slot(2);
        REQUIRE(
            committed(store.commit({change(pool_b).from(1).to(2).put(lease),
                                    change(pool_a).from(1).to(0).clear(), change(pool_c).to(1).count(6)})));
        CHECK(absent(*store, pool_a));
        CHECK(loaded(*store, pool_b).slots == Leases{lease});
        CHECK(loaded(*store, pool_c).count == 6);
        CHECK(store->pool_count().value() == 2);
    });
}

TEST_CASE("an empty batch is committed") {
    on_every_store([](Subject& store) {
        CHECK(committed(store.commit({})));
        CHECK(store->pool_count().value() == 0);
    });
}

TEST_CASE("the last committed anchor is kept, also after the store was reopened") {
    on_every_store([](Subject& store) {
        if (store.batches() == Batches::single_changes) return;
        const ClockAnchor first{"6f1f43a4", 12s, 1'781'337'630s, TimePoint(34s)};
        const ClockAnchor extreme{"", Duration::min(), Duration::max(), TimePoint::min()};
        const ClockAnchor last{"another boot", 1us, -1us, TimePoint(5us)};
        REQUIRE(committed(store->commit({}, first)));
        CHECK(store->anchor().value() == first);
        REQUIRE(committed(store->commit({change(pool_a).to(1).count(1)}, extreme)));
        CHECK(store->anchor().value() == extreme);
        REQUIRE(committed(store->commit({change(pool_a).from(1).to(2).count(1)}, last)));
        REQUIRE(committed(store.commit({change(pool_a).from(2).to(3).count(2)})));
        CHECK(store->anchor().value() == last);
        store.reopen();
        CHECK(store->anchor().value() == last);
    });
}

TEST_CASE("two stores on the same data see each other's commits, unless a second one is refused") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 1, 4);
        auto other = store.open_another();
        if (store.handles() == Handles::exclusive) {
            CHECK_FALSE(other);
            CHECK(committed(store.commit({change(pool_a).from(1).to(2).count(5)})));
            return;
        }
        REQUIRE(other);
        const HeldSlot lease = some_slot(0);
        const ClockAnchor anchor{"boot", 1s, 2s, TimePoint(3s)};
        REQUIRE(committed((*other)->commit({change(pool_a).from(1).to(2).put(lease)}, anchor)));
        CHECK(loaded(*store, pool_a).slots == Leases{lease});
        if (store.batches() == Batches::whole) CHECK(store->anchor().value() == anchor);

        CHECK(stale(store.commit({change(pool_a).from(1).to(3).put(some_slot(0))})));
        CHECK(committed(store.commit({change(pool_a).from(2).to(3).drop(0)})));
        CHECK(loaded(**other, pool_a).slots.empty());
    });
}

TEST_CASE("a fence is kept, and raised without the rest") {
    on_every_store([](Subject& store) {
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(4).fence(1000)})));
        CHECK(loaded(*store, pool_a).fence == 1000);
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2).fence(3000)})));
        REQUIRE(committed(store.commit({change(pool_a).from(2).to(3).count(5)})));
        store.reopen();
        CHECK(loaded(*store, pool_a).fence == 3000);
        CHECK(loaded(*store, pool_a).count == 5);
    });
}

TEST_CASE("the fence of a deleted pool stays known, also after the store was reopened") {
    on_every_store([](Subject& store) {
        CHECK(deleted_fence(*store, pool_a) == 0);
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(4).fence(5000)})));
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(0).clear()})));
        CHECK(deleted_fence(*store, pool_a) >= 5000);
        // A lesser one takes nothing away.
        REQUIRE(committed(store.commit({change(pool_b).to(1).count(4).fence(10)})));
        REQUIRE(committed(store.commit({change(pool_b).from(1).to(0).clear()})));
        CHECK(deleted_fence(*store, pool_a) >= 5000);
        CHECK(deleted_fence(*store, pool_b) >= 10);
        store.reopen();
        CHECK(deleted_fence(*store, pool_a) >= 5000);
        CHECK(deleted_fence(*store, pool_b) >= 10);
    });
}

TEST_CASE("a pool may be given fences in the batch that deletes it") {
    on_every_store([](Subject& store) {
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(4).fence(1000)})));
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(0).clear().fence(2000)})));
        CHECK(deleted_fence(*store, pool_a) >= 2000);
        REQUIRE(committed(store.commit({change(pool_b).from(0).to(0).clear().fence(7000)})));
        CHECK(deleted_fence(*store, pool_b) >= 7000);
        CHECK(store->pool_count().value() == 0);
        store.reopen();
        CHECK(deleted_fence(*store, pool_a) >= 2000);
        CHECK(deleted_fence(*store, pool_b) >= 7000);
    });
}

TEST_CASE("a batch that is stale leaves no fence behind") {
    on_every_store([](Subject& store) {
        if (store.batches() == Batches::single_changes) return;
        store.put_pool(pool_a, 1, 4);
        const PoolChange gone = change(pool_b).from(0).to(0).clear().fence(7000);
        CHECK(stale(store.commit({gone, change(pool_a).from(9).to(0).clear().fence(8000)})));
        CHECK(deleted_fence(*store, pool_b) == 0);
    });
}

TEST_CASE("a deleted pool leaves nothing but its fence, and one made again has nothing else") {
    on_every_store([](Subject& store) {
        const auto full = [&](Version from, Version to) {
            return change(pool_a)
                .from(from)
                .to(to)
                .count(4)
                .fence(1000)
                .set({"seats", 5s, false, {"\"a\""}})
                .take_out(2, {TimePoint(1s), "fan"})
                .queue(some_place(1));
        };
        const auto is_bare = [&] {
            CHECK_FALSE(loaded(*store, pool_a).settings);
            CHECK(loaded(*store, pool_a).places.empty());
            CHECK(loaded(*store, pool_a).slots.empty());
            CHECK(loaded(*store, pool_a).out.empty());
        };
        REQUIRE(committed(store.commit({full(0, 1)})));
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(0).clear()})));
        REQUIRE(committed(store.commit({change(pool_a).to(5).count(1).fence(2000)})));
        is_bare();
        CHECK(loaded(*store, pool_a).fence == 2000);

        REQUIRE(committed(store.commit({full(5, 6)})));
        REQUIRE(committed(store.commit({change(pool_a).from(6).to(7).clear().count(1).fence(3000)})));
        is_bare();
        CHECK(loaded(*store, pool_a).fence == 3000);

        const KeptPlace fresh = some_place(2);
        REQUIRE(committed(
            store.commit({change(pool_a).from(7).to(8).clear().count(1).set({.name = "new"}).queue(fresh)})));
        CHECK(settings(*store, pool_a).name == "new");
        CHECK(places(*store, pool_a) == std::vector{fresh});
        // Its fence outlives that, though nobody named it.
        CHECK(loaded(*store, pool_a).fence == 3000);
    });
}
