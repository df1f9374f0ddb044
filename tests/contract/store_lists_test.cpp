#include "tests/contract/subject.hpp"

#include <algorithm>

// What is asked of the store as a whole.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

TEST_CASE("the leases with chosen ids are listed over all pools, each once") {
    on_every_store([](Subject& store) {
        CHECK(store->chosen_leases().value().empty());
        HeldSlot first = some_slot(0);
        first.chosen = true;
        HeldSlot second = some_slot(1);
        second.chosen = true;
        HeldSlot also_second = second;
        also_second.position = 2;
        store.put_pool(pool_a, 1, 4, {first, some_slot(3)});
        store.put_pool(pool_b, 1, 4, {second, also_second});
        store.reopen();
        auto listed = store->chosen_leases().value();
        std::sort(listed.begin(), listed.end(), [](const auto& a, const auto& b) { return a.pool < b.pool; });
        REQUIRE(listed.size() == 2);
        const bool a_comes_first = pool_a < pool_b;
        const auto& in_a = listed[a_comes_first ? 0 : 1];
        const auto& in_b = listed[a_comes_first ? 1 : 0];
        CHECK(in_a.lease == first.lease);
        CHECK(in_a.pool == pool_a);
        CHECK(in_a.expires_at == first.expires_at);
        CHECK(in_b.lease == second.lease);
        CHECK(in_b.pool == pool_b);

        const Version version = loaded(*store, pool_b).version;
        REQUIRE(committed(store.commit({change(pool_b).from(version).to(0).clear()})));
        CHECK(store->chosen_leases().value().size() == 1);
    });
}

TEST_CASE("the pools in which somebody is to be called are listed, and no others") {
    on_every_store([](Subject& store) {
        const auto listed = [&] {
            std::vector<PoolId> pools;
            const auto all = store->pools_with_callbacks();
            for (const PoolWithCallbacks& found : all.value()) {
                if (store.batches() == Batches::single_changes) CHECK(found.keeper == ServerId{7});
                pools.push_back(found.pool);
            }
            std::sort(pools.begin(), pools.end());
            return pools;
        };
        const auto text = std::make_shared<const CallbackText>("{}");
        KeptPlace place = some_place(5);
        place.callback = text;
        HeldSlot slot = some_slot(1);
        slot.delivery = std::make_shared<const Delivery>(Delivery{text, 0, TimePoint(2h)});
        CHECK(listed().empty());
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(1).queue(place).keep(ServerId{7})})));
        REQUIRE(committed(store.commit({change(pool_b).to(1).count(1).put(slot).keep(ServerId{7})})));
        const PoolId other = PoolId::random();
        REQUIRE(
            committed(store.commit({change(other).to(1).count(1).queue(some_place(1)).put(some_slot(2))})));
        store.reopen();
        CHECK(listed() == std::vector{std::min(pool_a, pool_b), std::max(pool_a, pool_b)});

        // Ended by the last that is called, and with the pool.
        const Version version = loaded(*store, pool_a).version;
        REQUIRE(committed(store.commit(
            {change(pool_a).from(version).to(version + 1).unqueue(place.lease).keep(ServerId{})})));
        CHECK(listed() == std::vector{pool_b});
        const Version last = loaded(*store, pool_b).version;
        REQUIRE(committed(store.commit({change(pool_b).from(last).to(0).clear()})));
        CHECK(listed().empty());
        REQUIRE(committed(store.commit({change(pool_b).to(9).count(1).put(slot).keep(ServerId{7})})));
        CHECK(listed() == std::vector{pool_b});
        // Made again in one go.
        REQUIRE(committed(store.commit({change(pool_b).from(9).to(10).clear().count(2)})));
        CHECK(listed().empty());
    });
}

TEST_CASE("the pools are listed in the order of their ids, a few at a time") {
    on_every_store([](Subject& store) {
        CHECK(store->pools_after(std::nullopt, 5).value().empty());
        std::vector<PoolId> ids = {*PoolId::parse(std::string(32, '0')),
                                   *PoolId::parse(std::string(32, 'f'))};
        for (int i = 0; i < 7; ++i)
            ids.push_back(PoolId::random());
        for (const PoolId& id : ids)
            store.put_pool(id, 1, 1, {some_slot(0)});
        std::sort(ids.begin(), ids.end());
        for (const bool reopened : {false, true}) {
            if (reopened) store.reopen();
            CHECK(store->pools_after(std::nullopt, 100).value() == ids);
            CHECK(store->pools_after(std::nullopt, 9).value() == ids);
            CHECK(store->pools_after(std::nullopt, 2).value() == std::vector(ids.begin(), ids.begin() + 2));
            CHECK(store->pools_after(ids[1], 3).value() == std::vector(ids.begin() + 2, ids.begin() + 5));
            CHECK(store->pools_after(ids[7], 3).value() == std::vector(ids.begin() + 8, ids.end()));
            CHECK(store->pools_after(ids[8], 3).value().empty());
            CHECK(store->pools_after(ids[8], 0).value().empty());
        }
        // After one that is gone, too.
        const Version version = loaded(*store, ids[4]).version;
        REQUIRE(committed(store.commit({change(ids[4]).from(version).to(0).clear()})));
        CHECK(store->pools_after(ids[4], 2).value() == std::vector(ids.begin() + 5, ids.begin() + 7));
        CHECK(store->pools_after(std::nullopt, 100).value().size() == 8);
    });
}

TEST_CASE("a store is copied, or says how else it is backed up") {
    on_every_store([](Subject& store) {
        const BegunCopy begun = store->begin_copy();
        const auto* none = std::get_if<NoCopies>(&begun);
        CHECK(std::holds_alternative<std::unique_ptr<StoreCopy>>(begun) == (none == nullptr));
        if (none) CHECK_FALSE(none->reason.empty());
    });
}
