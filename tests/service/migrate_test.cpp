#include "server/service/migrate.hpp"

#include "server/store/memory/memory_store.hpp"
#include "server/store/sqlite/sqlite_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/faulty_store.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/store_changes.hpp"
#include "tests/support/temp_dir.hpp"

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

// Two stores whose timelines are an hour apart.
struct Both {
    Both() { to_clock.pass(1h); }

    Expected<Migrated> migrate() { return sema::migrate(*from, from_clock, *to, to_clock, 15s); }

    const std::unique_ptr<Store> from = make_memory_store();
    const std::shared_ptr<StoreFaults> faults = std::make_shared<StoreFaults>();
    const std::unique_ptr<Store> to = make_faulty_store(make_memory_store(), faults);
    ManualClock from_clock;
    ManualClock to_clock;
};

const PoolId pool = PoolId::random();

}  // namespace

TEST_CASE("a pool is copied with its settings, its leases and what is left of them") {
    Both both;
    const TimePoint now = both.from_clock.now();
    HeldSlot live = some_slot(0);
    live.granted_at = now - 10s;
    live.expires_at = now + 20s;
    live.chosen = true;
    live.holder = std::make_shared<const Holder>(Holder{"somebody", {}});
    HeldSlot ended = some_slot(1);
    ended.expires_at = now - 1s;
    const PoolSettings settings{.name = "seats", .cooldown = 5s, .renewable = false, .payloads = {"\"a\""}};
    const OutOfService out{now - 60s, "fan"};
    REQUIRE(committed(both.from->commit(
        {change(pool).to(1).count(4).fence(77).set(settings).put(live).put(ended).take_out(2, out)},
        std::nullopt)));
    const auto done = both.migrate();
    REQUIRE(done);
    CHECK(done->pools == 1);
    CHECK(done->leases == 1);

    const PoolRecord copy = loaded(*both.to, pool);
    CHECK(copy.count == 4);
    CHECK(copy.fence == 77);
    CHECK(*copy.settings == settings);
    REQUIRE(copy.slots.size() == 2);
    live.granted_at += 1h;
    live.expires_at += 1h;
    CHECK(copy.slots[0] == live);
    CHECK(copy.slots[1].expires_at == both.to_clock.now() - 1s);
    CHECK(copy.out == std::map<Position, OutOfService>{{2, {both.to_clock.now() - 60s, "fan"}}});
}

TEST_CASE("the places of borrowers who can come back are copied, those of others are not") {
    Both both;
    KeptPlace keyed = some_place(3);
    keyed.server = ServerId{7};
    KeptPlace unkeyed = some_place(4);
    unkeyed.chosen = false;
    REQUIRE(committed(
        both.from->commit({change(pool).to(1).count(0).queue(keyed).queue(unkeyed)}, std::nullopt)));
    REQUIRE(both.migrate());
    const auto places = loaded(*both.to, pool).places;
    REQUIRE(places.size() == 1);
    CHECK(places.front().lease == keyed.lease);
    CHECK(places.front().arrival == 3);
    CHECK(places.front().server == ServerId{});
    CHECK(places.front().deadline == both.to_clock.now() + 15s);
}

TEST_CASE("who is to be called is copied, and will be by whoever uses the store next") {
    Both both;
    const auto text = std::make_shared<const CallbackText>("{}");
    KeptPlace place = some_place(3);
    place.callback = text;
    place.ttl = 60s;
    place.deadline = both.from_clock.now() + 500s;
    HeldSlot slot = some_slot(0);
    slot.delivery =
        std::make_shared<const Delivery>(Delivery{text, 2, both.from_clock.now() + 5s, "it failed"});
    REQUIRE(committed(both.from->commit({change(pool).to(1).count(1).queue(place).put(slot)}, std::nullopt)));
    REQUIRE(both.migrate());
    const PoolRecord copy = loaded(*both.to, pool);
    REQUIRE(copy.places.size() == 1);
    CHECK(*copy.places.front().callback == "{}");
    CHECK(copy.places.front().ttl == 60s);
    CHECK(copy.places.front().deadline == both.to_clock.now() + 500s);
    REQUIRE(copy.slots.size() == 1);
    REQUIRE(copy.slots.front().delivery);
    CHECK(copy.slots.front().delivery->attempts == 2);
    CHECK(copy.slots.front().delivery->next_attempt == both.to_clock.now() + 5s);
    // A server that there never was, and which so is lost.
    CHECK(copy.keeper != ServerId{});
}

TEST_CASE("hundreds of pools are copied, and none is changed where they were") {
    Both both;
    for (int i = 0; i < 250; ++i)
        REQUIRE(committed(both.from->commit({change(PoolId::random()).to(5).count(2)}, std::nullopt)));
    CHECK(both.migrate()->pools == 250);
    CHECK(both.to->pool_count().value() == 250);
    CHECK(both.from->pool_count().value() == 250);
}

TEST_CASE("a store that has pools is not migrated to") {
    Both both;
    REQUIRE(committed(both.from->commit({change(pool).to(1).count(2)}, std::nullopt)));
    REQUIRE(committed(both.to->commit({change(pool).to(1).count(9)}, std::nullopt)));
    const auto done = both.migrate();
    REQUIRE_FALSE(done);
    CHECK_THAT(done.error().message, has_text("has pools already"));
    CHECK(loaded(*both.to, pool).count == 9);
}

TEST_CASE("a migration that a store breaks off says so") {
    Both both;
    REQUIRE(committed(both.from->commit({change(pool).to(1).count(2)}, std::nullopt)));
    both.faults->fail_all_commits();
    const auto done = both.migrate();
    REQUIRE_FALSE(done);
    CHECK_THAT(done.error().message, has_text("only some pools were copied"));
}

TEST_CASE("pools that are declared by name keep their ids after a migration") {
    Both both;
    REQUIRE(both.migrate());
    CHECK_FALSE(both.to->seed().value());
    REQUIRE(both.from->keep_seed("secret"));
    REQUIRE(both.migrate());
    CHECK(both.to->seed().value() == "secret");

    Both used;
    REQUIRE(used.from->keep_seed("secret"));
    REQUIRE(used.to->keep_seed("other"));
    CHECK_THAT(used.migrate().error().message, has_text("was in use before"));
}
