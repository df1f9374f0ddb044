#include "server/pool/pool.hpp"
#include "server/store/sqlite/handle.hpp"
#include "server/store/sqlite/schema.hpp"
#include "server/store/sqlite/sqlite_store.hpp"
#include "tests/store/sqlite/faulty_disk.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/forked_child.hpp"
#include "tests/support/store_changes.hpp"
#include "tests/support/temp_dir.hpp"

#include <fstream>

// What becomes of the database of an earlier semad.

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

/// As format 1 was: the statements of its schema.sql.
constexpr const char* format_1 = R"sql(
PRAGMA application_id = 0x53454D41;
PRAGMA user_version = 1;
CREATE TABLE pools (
    id BLOB NOT NULL PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
    pool BLOB NOT NULL,
    position INTEGER NOT NULL,
    lease BLOB NOT NULL,
    granted_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    ttl_us INTEGER NOT NULL,
    PRIMARY KEY (pool, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE clock_anchor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id TEXT NOT NULL,
    boot_time_us INTEGER NOT NULL,
    wall_time_us INTEGER NOT NULL,
    timeline_us INTEGER NOT NULL
) STRICT;
)sql";

/// Two pools, of which the first has a live lease at position 1 and one that is over at position 0, seen from
/// 1000 s on the timeline.
constexpr const char* rows = R"sql(
INSERT INTO pools VALUES (x'11111111111111111111111111111111', 3), (x'22222222222222222222222222222222', 0);
INSERT INTO leases VALUES
    (x'11111111111111111111111111111111', 0, x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 900000000, 960000000, 60000000),
    (x'11111111111111111111111111111111', 1, x'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 970000000, 1030000000, 60000000);
INSERT INTO clock_anchor VALUES (1, 'boot', 1, 2, 990000000);
)sql";

constexpr std::int64_t newest_format = 6;

constexpr TimePoint now{1000s};
const PoolId pool = *PoolId::parse("11111111-1111-1111-1111-111111111111");
const PoolId empty_pool = *PoolId::parse("22222222-2222-2222-2222-222222222222");
const LeaseId live = *LeaseId::parse("bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb");

class OldStore {
  public:
    explicit OldStore(const std::string& more = rows) {
        std::ofstream(path(), std::ios::binary) << "";
        auto database = sqlite::Database::open(path());
        database.execute("PRAGMA journal_mode = WAL");
        database.execute((std::string("BEGIN;") + format_1 + more + "COMMIT").c_str());
    }

    fs::path path() const { return folder_.path() / "semad.db"; }
    std::unique_ptr<Store> open() const {
        auto store = open_sqlite_store(path());
        if (!store) throw std::runtime_error(store.error().message);
        return *std::move(store);
    }
    std::string refusal() const {
        const auto store = open_sqlite_store(path());
        return store ? "opened" : store.error().message;
    }
    /// REQUIRES: no store has it open.
    std::int64_t number(const char* query) const {
        const auto database = sqlite::Database::peek(path());
        std::int64_t value = -1;
        sqlite::Statement(database, query).query([&](const sqlite::Row& row) { value = row.integer(0); });
        return value;
    }
    std::int64_t format() const { return number("PRAGMA user_version"); }

  private:
    TempDir folder_;
};

/// What of the pool is as it was.
void check_pool(Store& store) {
    const PoolRecord record = loaded(store, pool);
    CHECK(record.count == 3);
    CHECK(record.fence == 0);
    CHECK_FALSE(record.settings);
    CHECK(record.places.empty());
    REQUIRE(record.slots.size() == 2);
    CHECK(record.slots[1] == HeldSlot{live, 1, TimePoint(970s), TimePoint(1030s), 60s});
}

}  // namespace

TEST_CASE("a store of format 1 is opened with its pools, leases and clock, and then has the newest format") {
    const OldStore old;
    {
        const auto store = old.open();
        check_pool(*store);
        CHECK(loaded(*store, empty_pool).count == 0);
        CHECK(store->pool_count().value() == 2);
        CHECK(store->chosen_leases().value().empty());
        CHECK(store->anchor().value() == ClockAnchor{"boot", 1us, 2us, TimePoint(990s)});
        CHECK(std::get<Absent>(store->load(PoolId::random())).fence == 0);
    }
    CHECK(old.format() == newest_format);
    check_pool(*old.open());
}

TEST_CASE("a store of format 2 gets a seed for pools' ids, which is seen from outside at once") {
    const OldStore old;
    {
        auto database = sqlite::Database::open(old.path());
        database.execute(migrations[0]);
    }
    REQUIRE(old.format() == 2);
    CHECK_FALSE(peek_seed(old.path()).value());
    const auto store = old.open();
    check_pool(*store);
    CHECK_FALSE(store->seed().value());
    REQUIRE(store->keep_seed("secret"));
    CHECK(peek_seed(old.path()).value() == "secret");
}

TEST_CASE("settings of format 3 are read with the lowest slot picked, and no slot is out of service") {
    const OldStore old;
    {
        auto database = sqlite::Database::open(old.path());
        database.execute(migrations[0]);
        database.execute(migrations[1]);
        database.execute(
            "INSERT INTO settings (pool, name, cooldown_us, renewable, payloads) VALUES"
            " (x'11111111111111111111111111111111', 'seats', 5000000, 0, '')");
    }
    REQUIRE(old.format() == 3);
    const PoolRecord record = loaded(*old.open(), pool);
    REQUIRE(record.settings);
    CHECK(*record.settings == PoolSettings{.name = "seats", .cooldown = 5s, .renewable = false});
    CHECK(record.out.empty());
    CHECK(old.format() == newest_format);
}

TEST_CASE("in a store of format 4 nobody is to be called, and its leases and places are as they were") {
    const OldStore old;
    {
        auto database = sqlite::Database::open(old.path());
        for (const char* migration : {migrations[0], migrations[1], migrations[2]})
            database.execute(migration);
        database.execute(
            "INSERT INTO places VALUES (x'11111111111111111111111111111111',"
            " x'cccccccccccccccccccccccccccccccc', 1, 2, 3, 900000000, 'somebody', NULL)");
    }
    REQUIRE(old.format() == 4);
    const auto store = old.open();
    CHECK(store->pools_with_callbacks().value().empty());
    const PoolRecord record = loaded(*store, pool);
    REQUIRE(record.places.size() == 1);
    CHECK_FALSE(record.places.front().callback);
    CHECK(record.places.front().slots == 3);
    REQUIRE(record.slots.size() == 2);
    CHECK_FALSE(record.slots[1].delivery);
}

TEST_CASE("a migrated database has the tables of a new one") {
    const OldStore old;
    old.open();
    const TempDir folder;
    const fs::path fresh = folder.path() / "semad.db";
    REQUIRE(open_sqlite_store(fresh));
    const auto columns = [](const fs::path& path) {
        const auto database = sqlite::Database::peek(path);
        std::vector<std::string> all;
        sqlite::Statement(database,
                          "SELECT t.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' ||"
                          " c.pk || ' ' || ifnull(c.dflt_value, 'none')"
                          " FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'"
                          " ORDER BY t.name, c.cid")
            .query([&](const sqlite::Row& row) { all.push_back(row.text(0)); });
        return all;
    };
    CHECK(columns(old.path()) == columns(fresh));
    CHECK_FALSE(columns(fresh).empty());
}

TEST_CASE("leases of format 1 live on for the time that they have left") {
    const OldStore old;
    const auto store = old.open();
    const PoolLimits limits;
    Pool restored(loaded(*store, pool), now, limits);
    CHECK(restored.in_use() == 1);
    Changes changes;
    Effects effects(changes);
    const Claim claim{Ticket{1}, LeaseId::random(), 60s, now};
    const auto granted = restored.borrow(now, claim, effects);
    CHECK(std::get<Pool::Held>(granted).lease.position() == 0);
    CHECK(std::get<Pool::Held>(granted).lease.fence == 1);
    restored.advance_to(TimePoint(1030s) - 1ms, effects);
    CHECK(restored.in_use() == 2);
    restored.advance_to(TimePoint(1030s), effects);
    CHECK(restored.in_use() == 1);
}

TEST_CASE("all that is new can be stored in a migrated database") {
    const OldStore old;
    KeptPlace place = some_place(3);
    place.callback = std::make_shared<const CallbackText>("{}");
    place.ttl = 60s;
    place.deadline = TimePoint(2000s);
    HeldSlot slot = some_slot(2);
    slot.delivery =
        std::make_shared<const Delivery>(Delivery{place.callback, 2, TimePoint(1100s), "it failed"});
    slot.fence = 9;
    slot.chosen = true;
    slot.holder = std::make_shared<const Holder>(Holder{"somebody", "http://x/"});
    const PoolSettings settings{
        .name = "seats", .cooldown = 5s, .renewable = false, .payloads = {"\"a\""}, .pick = Pick::idle};
    const OutOfService out{TimePoint(900s), "fan"};
    {
        const auto store = old.open();
        const Version version = loaded(*store, pool).version;
        const PoolChange put = change(pool)
                                   .from(version)
                                   .to(version + 1)
                                   .fence(1000)
                                   .put(slot)
                                   .queue(place)
                                   .set(settings)
                                   .take_out(1, out);
        REQUIRE(committed(store->commit({put}, std::nullopt)));
        const Version other = loaded(*store, empty_pool).version;
        REQUIRE(
            committed(store->commit({change(empty_pool).from(other).to(0).clear().fence(7)}, std::nullopt)));
    }
    const auto store = old.open();
    const PoolRecord record = loaded(*store, pool);
    CHECK(record.fence == 1000);
    REQUIRE(record.settings);
    CHECK(*record.settings == settings);
    CHECK(record.slots.at(2) == slot);
    CHECK(record.places == std::vector{place});
    CHECK(record.out == std::map<Position, OutOfService>{{1, out}});
    CHECK(std::get<Absent>(store->load(empty_pool)).fence == 7);
    CHECK(store->chosen_leases().value().size() == 1);
}

TEST_CASE("a migration that the disk does not allow leaves the file as it was, to be opened later") {
    const OldStore old;
    {
        FaultyDisk disk;
        SECTION("since it is full") {
            disk.fill_up();
            CHECK_THAT(old.refusal(), has_text("free space on its disk"));
        }
        SECTION("since it cannot be written to for certain") {
            disk.fail_syncs();
            CHECK_THAT(old.refusal(), has_text("check the disk"));
        }
    }
    CHECK(old.format() == 1);
    CHECK(old.number("SELECT count(*) FROM sqlite_schema WHERE type = 'table'") == 3);
    check_pool(*old.open());
    CHECK(old.format() == newest_format);
}

TEST_CASE("a migration survives a power cut once the store was opened") {
    const OldStore old;
    const FaultyDisk disk;
    const auto store = old.open();
    const Version version = loaded(*store, pool).version;
    REQUIRE(committed(store->commit({change(pool).from(version).to(version + 1).fence(1000)}, std::nullopt)));
    const TempDir after_power_cut;
    disk.copy_what_survives(after_power_cut.path());
    if (!fs::exists(after_power_cut.path() / "semad.db"))
        fs::copy_file(old.path(), after_power_cut.path() / "semad.db");
    auto found = open_sqlite_store(after_power_cut.path() / "semad.db");
    REQUIRE(found);
    CHECK(loaded(**found, pool).fence == 1000);
    CHECK(loaded(**found, pool).slots.size() == 2);
}

TEST_CASE("a server killed while it migrates leaves a store of one format or the other") {
    const OldStore old;
    ForkedChild server([&](const ForkedChild::Report& report) {
        report("begun");
        const auto store = old.open();
        report("open");
        ::pause();
    });
    REQUIRE(server.next_line() == "begun");
    server.kill();
    check_pool(*old.open());
    CHECK(old.format() == newest_format);
}

TEST_CASE("a store that a server left without closing it is migrated with what is in its log") {
    const OldStore old("");
    ForkedChild server([&](const ForkedChild::Report& report) {
        auto database = sqlite::Database::open(old.path());
        database.execute("PRAGMA journal_mode = WAL");
        database.execute(rows);
        report("written");
        ::pause();
    });
    REQUIRE(server.next_line() == "written");
    server.kill();
    check_pool(*old.open());
}

TEST_CASE("a format that no server wrote, or only a later one, is refused and left alone") {
    for (const std::int64_t format : {std::int64_t{0}, newest_format + 1, std::int64_t{-1}}) {
        CAPTURE(format);
        const OldStore old(rows + ("PRAGMA user_version = " + std::to_string(format) + ";"));
        CHECK_THAT(old.refusal(), has_text("its format is " + std::to_string(format) +
                                           " and this semad knows format " + std::to_string(newest_format)));
        CHECK(old.format() == format);
        CHECK(old.number("SELECT count(*) FROM leases") == 2);
    }
}
