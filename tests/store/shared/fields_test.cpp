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
    settings.payloads = {R"("a b")", R"({"a": 1})", R"("- ")"};
    settings.pick = Pick::idle;
    changes.settings = std::make_shared<const PoolSettings>(settings);
    HeldSlot slot = some_slot(12);
    slot.chosen = true;
    slot.answers = 0;
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
    changes.out[2] = OutOfService{TimePoint(-7s), "its fan - is broken "};
    changes.out[11] = OutOfService{TimePoint::max(), ""};
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
    CHECK(pool.slots[1].answers == 0);
    CHECK(pool.slots[1].full_end == TimePoint(-5s));
    CHECK(pool.slots[1].server == ServerId{~std::uint64_t{0}});
    REQUIRE(pool.places.size() == 1);
    const KeptPlace& place = pool.places[0];
    CHECK(place == changes.places.begin()->second);
    CHECK(place.server == ServerId{5});
    CHECK(place.deadline == TimePoint::max());
    CHECK(place.cancelled);
    CHECK_FALSE(place.chosen);
    CHECK(pool.out == std::map<Position, OutOfService>{{2, *changes.out.at(2)}, {11, *changes.out.at(11)}});
}

TEST_CASE("rows of those who are to be called have that at their end, and others are as they were before") {
    const auto text = std::make_shared<const CallbackText>("{\"url\":\"https://x/\"} - 1");
    Changes changes;
    changes.count = 1;
    changes.keeper = ServerId{~std::uint64_t{0}};
    HeldSlot slot = some_slot(0);
    KeptPlace place = some_place(1);
    changes.slots[0] = slot;
    changes.places[place.lease] = place;
    const FieldChanges without = fields_of(changes);
    slot.delivery = std::make_shared<const Delivery>(Delivery{text, 2, TimePoint(9s), "it - answered 5 00"});
    place.callback = text;
    place.ttl = 60s;
    changes.slots[0] = slot;
    changes.places[place.lease] = place;
    const FieldChanges with = fields_of(changes);
    REQUIRE(with.set.size() == without.set.size());
    for (std::size_t i = 0; i < with.set.size(); ++i)
        CHECK(with.set[i].starts_with(without.set[i]));
    const auto pool = std::get<PoolRecord>(read(with, 1).value());
    CHECK(pool.keeper == ServerId{~std::uint64_t{0}});
    CHECK(pool.slots == std::vector{slot});
    CHECK(pool.places == std::vector{place});
    changes.keeper = ServerId{};
    CHECK(fields_of(changes).removed == std::vector<std::string>{"k"});
}

TEST_CASE("settings of an earlier semad are read, with the default of what there was not") {
    const auto settings_of = [](const std::string& row) {
        auto found = read({{"c", "1", "t", row}, {}}, 1);
        REQUIRE(found);
        return *std::get<PoolRecord>(*found).settings;
    };
    CHECK(settings_of("5000000 0 5 seats 0 ") ==
          PoolSettings{.name = "seats", .cooldown = 5s, .renewable = false});
    CHECK(settings_of("0 1 0  0 idle ") == PoolSettings{.pick = Pick::idle});
    CHECK_FALSE(PoolFields().take("t", "5000000 0 5 seats "));
    CHECK_FALSE(PoolFields().take("t", "0 1 0  0 highest "));
}

TEST_CASE("the row of a slot that an earlier semad wrote has no wait") {
    const LeaseId lease = LeaseId::random();
    auto found = read({{"c", "1", "s0", lease.str() + " 1 2 3 4 1 1 - 7 - "}, {}}, 1);
    REQUIRE(found);
    const HeldSlot slot = std::get<PoolRecord>(*found).slots.at(0);
    CHECK(slot.fence == 4);
    CHECK(slot.server == ServerId{7});
    CHECK(slot.waited == 0s);
    CHECK(slot.priority == 0);
}

TEST_CASE("what goes away is named, and nothing else") {
    const LeaseId lease = LeaseId::random();
    Changes changes;
    changes.slots[4] = std::nullopt;
    changes.places[lease] = std::nullopt;
    changes.out[5] = std::nullopt;
    const FieldChanges fields = fields_of(changes);
    CHECK(fields.set.empty());
    CHECK(fields.removed == std::vector<std::string>{"s4", "p" + lease.str(), "o5"});
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
    for (const char* name : {"", "x", "s", "p", "o", "s-1", "s4294967296", "o-1", "ox", "pnoid", "cc"})
        CHECK_FALSE(PoolFields().take(name, "1"));
}

TEST_CASE("settings that no server writes are refused") {
    CHECK(PoolFields().take("t", R"(0 1 0  1 6 "lic1" )"));
    for (const char* row : {"-1 1 0  0 ", "0 1 0  1 4 lic1 ", R"(0 1 0  1 5 {"a": )", "0 1 0  1 1 7 ",
                            R"(0 1 0  9999999999 6 "lic1" )", R"(0 1 0  99999999999999999999 6 "lic1" )",
                            R"(0 1 0  1 99999999999999999999 "lic1" )"}) {
        CAPTURE(row);
        CHECK_FALSE(PoolFields().take("t", row));
    }
}

TEST_CASE(
    "of a pool that is not there, its fence may be known and nothing else; one that is there has a count") {
    FieldChanges fence{{"f", "70"}, {}};
    CHECK(std::get<Absent>(*read(fence, 0)).fence == 70);
    CHECK(std::get<Absent>(*read({}, 0)).fence == 0);
    CHECK_FALSE(read(fence, 1));
    CHECK_FALSE(read({{"c", "1"}, {}}, 0));
    CHECK_FALSE(read({{"o1", "0 0  "}, {}}, 0));
    CHECK(read({{"c", "1"}, {}}, 1));
}
