#include "tests/contract/subject.hpp"

#include <algorithm>
#include <limits>

// The rows of a pool, each with its fields.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

TEST_CASE("a new store has no pools and no anchor") {
    on_every_store([](Subject& store) {
        CHECK(absent(*store, pool_a));
        CHECK(store->pool_count().value() == 0);
        CHECK_FALSE(store->anchor().value());
    });
}

TEST_CASE("the first seed that is kept stays, for every handle and after the store was reopened") {
    on_every_store([](Subject& store) {
        CHECK_FALSE(store->seed().value());
        CHECK(store->keep_seed("first").value() == "first");
        CHECK(store->keep_seed("second").value() == "first");
        CHECK(store->seed().value() == "first");
        if (store.handles() == Handles::shared)
            CHECK(store.open_another().value()->keep_seed("third").value() == "first");
        store.put_pool(pool_a, 1, 1);
        CHECK(store->pool_count().value() == 1);
        store.reopen();
        CHECK(store->seed().value() == "first");
    });
}

TEST_CASE("a pool is loaded as it was committed, also after the store was reopened") {
    on_every_store([](Subject& store) {
        const HeldSlot first = some_slot(0);
        const HeldSlot third = some_slot(2);
        store.put_pool(pool_a, 7, 4, {third, first});
        CHECK(loaded(*store, pool_a).version == 7);
        const auto check = [&] {
            const auto pool = loaded(*store, pool_a);
            CHECK(pool.version != 0);
            CHECK((pool.version == 7 || store.handles() == Handles::exclusive));
            CHECK(pool.count == 4);
            CHECK(pool.slots == Leases{first, third});
            CHECK(absent(*store, pool_b));
        };
        check();
        store.reopen();
        check();
    });
}

TEST_CASE("every field keeps its extreme values") {
    on_every_store([](Subject& store) {
        const auto nil = LeaseId(boost::uuids::uuid{});
        const HeldSlot least{nil, 0, TimePoint::min(), TimePoint::min(), Duration::min()};
        const HeldSlot most{*LeaseId::parse("ffffffff-ffff-ffff-ffff-ffffffffffff"),
                            std::numeric_limits<Position>::max(),
                            TimePoint::max(),
                            TimePoint::max(),
                            Duration::max(),
                            std::numeric_limits<std::uint64_t>::max(),
                            true,
                            holder(std::string(2000, 'n'), std::string("a\0b", 3))};
        const PoolId nil_pool{};
        constexpr auto max_count = std::numeric_limits<unsigned>::max();
        Version base = 0;
        for (const Version version :
             {Version{1}, Version{1} << 63, (Version{1} << 63) - 1, std::numeric_limits<Version>::max()}) {
            const auto put = change(nil_pool).from(base).to(version).count(max_count).put(least).put(most);
            REQUIRE(committed(store.commit({put})));
            const auto pool = loaded(*store, nil_pool);
            CHECK(pool.version == version);
            CHECK(pool.count == max_count);
            CHECK(pool.slots == Leases{least, most});
            base = version;
        }
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(0)})));
        CHECK(loaded(*store, pool_a).count == 0);
    });
}

TEST_CASE("slots are taken, replaced and freed one by one") {
    on_every_store([](Subject& store) {
        const HeldSlot kept = some_slot(0);
        store.put_pool(pool_a, 1, 4, {kept, some_slot(1), some_slot(2)});
        const HeldSlot replacement = some_slot(1);
        const HeldSlot added = some_slot(3);
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2).put(replacement).drop(2).put(added)})));
        const auto pool = loaded(*store, pool_a);
        CHECK(pool.version == 2);
        CHECK(pool.count == 4);
        CHECK(pool.slots == Leases{kept, replacement, added});
    });
}

TEST_CASE("to free a slot that is free already changes nothing but the version") {
    on_every_store([](Subject& store) {
        const HeldSlot lease = some_slot(0);
        store.put_pool(pool_a, 1, 4, {lease});
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2).drop(3)})));
        CHECK(loaded(*store, pool_a).version == 2);
        CHECK(loaded(*store, pool_a).slots == Leases{lease});
    });
}

TEST_CASE("a count changes without touching the leases, those above it included") {
    on_every_store([](Subject& store) {
        const Leases leases = {some_slot(0), some_slot(3)};
        store.put_pool(pool_a, 1, 4, leases);
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2).count(1)})));
        CHECK(loaded(*store, pool_a).count == 1);
        CHECK(loaded(*store, pool_a).slots == leases);
    });
}

TEST_CASE("a version may change on its own") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 1, 4, {some_slot(0)});
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2)})));
        CHECK(loaded(*store, pool_a).version == 2);
        CHECK(loaded(*store, pool_a).count == 4);
        CHECK(loaded(*store, pool_a).slots.size() == 1);
    });
}

TEST_CASE("leases come in order of position, however they were put") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 1, 1000);
        Version version = 1;
        for (const Position position : {999U, 0U, 256U, 255U, 10U, 9U}) {
            REQUIRE(committed(
                store.commit({change(pool_a).from(version).to(version + 1).put(some_slot(position))})));
            ++version;
        }
        std::vector<Position> positions;
        const auto pool = loaded(*store, pool_a);
        for (const HeldSlot& lease : pool.slots)
            positions.push_back(lease.position);
        CHECK(positions == std::vector<Position>{0, 9, 10, 255, 256, 999});
    });
}

TEST_CASE("slots are taken out of service and put back one by one, each with its fields") {
    on_every_store([](Subject& store) {
        using Out = std::map<Position, OutOfService>;
        const OutOfService first{TimePoint::min(), ""};
        const OutOfService second{TimePoint::max(), std::string("a\0'\n\xf0\x9f\x94\x92 ", 9)};
        constexpr Position last = std::numeric_limits<Position>::max();
        REQUIRE(committed(
            store.commit({change(pool_a).to(1).count(4).take_out(0, first).take_out(last, second)})));
        REQUIRE(committed(store.commit({change(pool_b).to(1).count(4).take_out(0, second)})));
        CHECK(loaded(*store, pool_a).out == Out{{0, first}, {last, second}});
        // The lease of such a slot is another row.
        const HeldSlot held = some_slot(0);
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2).put(held).put_back(last).put_back(7)})));
        store.reopen();
        CHECK(loaded(*store, pool_a).out == Out{{0, first}});
        CHECK(loaded(*store, pool_a).slots == Leases{held});
        CHECK(loaded(*store, pool_b).out == Out{{0, second}});
        const Version version = loaded(*store, pool_a).version;
        REQUIRE(committed(
            store.commit({change(pool_a).from(version).to(version + 1).take_out(0, second).drop(0)})));
        CHECK(loaded(*store, pool_a).out == Out{{0, second}});
        CHECK(loaded(*store, pool_a).slots.empty());
    });
}

TEST_CASE("places are taken, replaced and given up one by one, each with its fields") {
    on_every_store([](Subject& store) {
        KeptPlace first = some_place(1);
        const KeptPlace second{LeaseId::random(),
                               -100,
                               std::numeric_limits<std::int64_t>::max(),
                               std::numeric_limits<unsigned>::max(),
                               TimePoint::max(),
                               holder("somebody", "http://x/")};
        const KeptPlace third{LeaseId::random(), 100, 0, 1, TimePoint::min(), holder({}, "http://x/")};
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(1).queue(first).queue(second)})));
        REQUIRE(committed(store.commit({change(pool_b).to(1).count(1).queue(first)})));
        first.arrival = 7;
        REQUIRE(committed(
            store.commit({change(pool_a).from(1).to(2).queue(first).unqueue(second.lease).queue(third)})));
        store.reopen();
        auto expected = std::vector{first, third};
        std::sort(expected.begin(), expected.end(),
                  [](const KeptPlace& a, const KeptPlace& b) { return a.lease < b.lease; });
        CHECK(places(*store, pool_a) == expected);
        CHECK(places(*store, pool_b).size() == 1);
        REQUIRE(places(*store, pool_b).front().arrival == 1);
    });
}

TEST_CASE("to give up a place that nobody has changes nothing but the version") {
    on_every_store([](Subject& store) {
        const KeptPlace place = some_place(1);
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(1).queue(place)})));
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2).unqueue(LeaseId::random())})));
        CHECK(places(*store, pool_a) == std::vector{place});
    });
}

TEST_CASE("every place keeps its extreme values") {
    on_every_store([](Subject& store) {
        const KeptPlace place{LeaseId(boost::uuids::uuid{}), 0, std::numeric_limits<std::uint64_t>::max(), 1,
                              TimePoint::max()};
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(1).queue(place)})));
        CHECK(places(*store, pool_a) == std::vector{place});
    });
}

TEST_CASE("a slot keeps who holds it, whether the id was chosen, its fence, and what its borrower waited") {
    on_every_store([](Subject& store) {
        HeldSlot named = some_slot(0);
        named.chosen = true;
        named.fence = 77;
        named.holder = holder("somebody");
        named.waited = 1h + 1us;
        named.priority = -100;
        HeldSlot placed = some_slot(1);
        placed.holder = holder({}, "http://x/");
        HeldSlot blank = some_slot(2);
        blank.holder = holder("", "");
        const HeldSlot nobody = some_slot(3);
        store.put_pool(pool_a, 1, 4, {named, placed, blank, nobody});
        store.reopen();
        CHECK(loaded(*store, pool_a).slots == Leases{named, placed, blank, nobody});
    });
}

TEST_CASE("a lease of several slots has a row for each") {
    on_every_store([](Subject& store) {
        HeldSlot slot = some_slot(1);
        slot.chosen = true;
        Leases all;
        for (const Position position : {1U, 3U, 200U}) {
            slot.position = position;
            all.push_back(slot);
        }
        store.put_pool(pool_a, 1, 300, all);
        store.reopen();
        CHECK(loaded(*store, pool_a).slots == all);
        REQUIRE(store->chosen_leases().value().size() == 1);
    });
}

TEST_CASE("who is to be called is kept, while waiting and while being called") {
    on_every_store([](Subject& store) {
        const auto text =
            std::make_shared<const CallbackText>("{\"url\":\"https://x/\"} \n\xc3\xa4 'quoted'");
        KeptPlace place = some_place(5);
        place.callback = text;
        place.ttl = 90s;
        place.deadline = TimePoint(3h);
        HeldSlot slot = some_slot(1);
        slot.chosen = true;
        slot.holder = holder("somebody");
        slot.delivery = std::make_shared<const Delivery>(Delivery{text, 3, TimePoint(2h), "it answered 500"});
        store.put_pool(pool_a, 1, 4);
        const auto commit = [&](ChangeOf next) {
            const Version version = loaded(*store, pool_a).version;
            REQUIRE(committed(store.commit({next.from(version).to(version + 1)})));
            store.reopen();
        };
        commit(change(pool_a).queue(place).put(slot).keep(ServerId{7}));
        CHECK(places(*store, pool_a) == std::vector{place});
        CHECK(loaded(*store, pool_a).slots == Leases{slot});
        if (store.batches() == Batches::single_changes) CHECK(loaded(*store, pool_a).keeper == ServerId{7});

        slot.delivery = std::make_shared<const Delivery>(Delivery{text, 0, TimePoint(1h)});
        commit(change(pool_a).put(slot));
        CHECK(loaded(*store, pool_a).slots == Leases{slot});

        slot.delivery = nullptr;
        place.callback = nullptr;
        place.ttl = 0s;
        commit(change(pool_a).queue(place).put(slot).keep(ServerId{}));
        CHECK(places(*store, pool_a) == std::vector{place});
        CHECK(loaded(*store, pool_a).slots == Leases{slot});
        CHECK(loaded(*store, pool_a).keeper == ServerId{});
    });
}
