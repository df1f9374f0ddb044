#include "server/store/shared/fields.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/store_changes.hpp"

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;
using shared::FieldChanges;
using shared::fields_of;
using shared::PoolFields;

namespace {

/// Nothing where a field is refused, or they make no sense together.
std::optional<LoadResult> read(const FieldChanges& fields, Version version) {
    PoolFields reader;
    for (std::size_t i = 0; i < fields.set.size(); i += 2) {
        if (!reader.take(fields.set[i], fields.set[i + 1])) return std::nullopt;
    }
    return std::move(reader).result(version);
}

Changes full_pool() {
    Changes changes;
    changes.count = 7;
    changes.fence = ~std::uint64_t{0};
    PoolSettings settings;
    settings.name = "a name with - and 3 spaces";
    settings.cooldown = 5s;
    settings.renewable = false;
    settings.payloads = {"", "{\"a\": 1}", "- "};
    changes.settings = std::make_shared<const PoolSettings>(settings);
    HeldSlot slot = some_slot(12);
    slot.chosen = true;
    slot.told = 0;
    slot.full_end = TimePoint(-5s);
    slot.server = ServerId{~std::uint64_t{0}};
    slot.holder = std::make_shared<const Holder>(Holder{"me", std::nullopt});
    changes.slots[12] = slot;
    changes.slots[3] = some_slot(3);
    KeptPlace place = some_place(9);
    place.priority = -2;
    place.chosen = false;
    place.server = ServerId{5};
    place.deadline = TimePoint::max();
    place.cancelled = true;
    place.holder = std::make_shared<const Holder>(Holder{std::nullopt, "http://x/ y"});
    changes.places[place.lease] = place;
    return changes;
}

}  // namespace

TEST_CASE("a pool as texts is the same pool again") {
    const Changes changes = full_pool();
    const auto found = read(fields_of(changes), 41);
    REQUIRE(found);
    const auto& pool = std::get<PoolRecord>(*found);
    CHECK(pool.version == 41);
    CHECK(pool.count == 7);
    CHECK(pool.fence == ~std::uint64_t{0});
    CHECK(*pool.settings == *changes.settings);
    REQUIRE(pool.slots.size() == 2);
    CHECK(pool.slots[0] == *changes.slots.at(3));
    CHECK(pool.slots[1] == *changes.slots.at(12));
    CHECK(pool.slots[1].told == 0);
    CHECK(pool.slots[1].full_end == TimePoint(-5s));
    CHECK(pool.slots[1].server == ServerId{~std::uint64_t{0}});
    REQUIRE(pool.places.size() == 1);
    const KeptPlace& place = pool.places[0];
    CHECK(place == changes.places.begin()->second);
    CHECK(place.server == ServerId{5});
    CHECK(place.deadline == TimePoint::max());
    CHECK(place.cancelled);
    CHECK_FALSE(place.chosen);
}

TEST_CASE("what goes away is named, and nothing else") {
    const LeaseId lease = LeaseId::random();
    Changes changes;
    changes.slots[4] = std::nullopt;
    changes.places[lease] = std::nullopt;
    const FieldChanges fields = fields_of(changes);
    CHECK(fields.set.empty());
    CHECK(fields.removed == std::vector<std::string>{"s4", "p" + lease.str()});
}

TEST_CASE("a field that was not written like this is refused") {
    const FieldChanges fields = fields_of(full_pool());
    for (std::size_t i = 0; i < fields.set.size(); i += 2) {
        const std::string& name = fields.set[i];
        const std::string& value = fields.set[i + 1];
        CAPTURE(name, value);
        CHECK(PoolFields().take(name, value));
        for (const std::string& broken : {std::string(), value + "x", "x" + value, value.substr(1) + " "})
            CHECK_FALSE(PoolFields().take(name, broken));
        CHECK_FALSE(PoolFields().take(name + "x", value));
    }
    for (const char* name : {"", "x", "s", "p", "s-1", "s4294967296", "pnoid", "cc"})
        CHECK_FALSE(PoolFields().take(name, "1"));
}

TEST_CASE(
    "of a pool that is not there, its fence may be known and nothing else; one that is there has a count") {
    FieldChanges fence{{"f", "70"}, {}};
    CHECK(std::get<Absent>(*read(fence, 0)).fence == 70);
    CHECK(std::get<Absent>(*read({}, 0)).fence == 0);
    CHECK_FALSE(read(fence, 1));
    CHECK_FALSE(read({{"c", "1"}, {}}, 0));
    CHECK(read({{"c", "1"}, {}}, 1));
}
