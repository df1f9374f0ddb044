#include "server/store/sqlite/handle.hpp"
#include "server/store/sqlite/sqlite_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/forked_child.hpp"
#include "tests/support/store_changes.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <map>

// Copies of stores, and what becomes of them.

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

const PoolId pool = PoolId::random();
const PoolId other = PoolId::random();

std::unique_ptr<Store> open_store(const fs::path& path) {
    auto store = open_sqlite_store(path);
    if (!store) throw std::runtime_error(store.error().message);
    return *std::move(store);
}

std::string refusal(const fs::path& path) {
    const auto store = open_sqlite_store(path);
    return store ? "opened" : store.error().message;
}

std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

Duration wall_time() {
    return std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch());
}

ClockAnchor anchor_of(Duration wall) {
    return {.boot_id = "boot", .boot_time = 1s, .wall_time = wall, .timeline = TimePoint(5s)};
}

struct World {
    TempDir folder;
    fs::path path = folder.path() / "semad.db";
    fs::path copy = folder.path() / "copy.db";

    std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (const auto& entry : fs::directory_iterator(folder.path()))
            all.push_back(entry.path().filename().string());
        std::sort(all.begin(), all.end());
        return all;
    }
};

/// The rest of the copy.
std::string finish(StoreCopy& copy) {
    for (bool is_whole = false; !is_whole;) {
        const auto done = copy.go_on();
        REQUIRE(done);
        is_whole = *done;
    }
    const auto bytes = copy.bytes();
    REQUIRE(bytes);
    return std::string(**bytes);
}

std::unique_ptr<StoreCopy> begin(Store& store) {
    auto begun = store.begin_copy();
    REQUIRE(std::holds_alternative<std::unique_ptr<StoreCopy>>(begun));
    return std::get<std::unique_ptr<StoreCopy>>(std::move(begun));
}

/// A store with a pool and a lease of it, and enough others that it takes several pieces to copy.
std::unique_ptr<Store> large_store(const fs::path& path, const HeldSlot& slot) {
    auto store = open_store(path);
    std::vector<PoolChange> changes = {change(pool).to(1).count(3).fence(77).put(slot)};
    for (int i = 0; i < 3000; ++i)
        changes.push_back(change(PoolId::random())
                              .to(1)
                              .count(1)
                              .fence(5)
                              .set(PoolSettings{.name = std::string(250, 'x')}));
    REQUIRE(committed(store->commit(changes, anchor_of(wall_time()))));
    return store;
}

}  // namespace

TEST_CASE("a copy is a store with all that was committed until it was whole") {
    const World world;
    const HeldSlot first = some_slot(0);
    const HeldSlot second = some_slot(1);
    const auto store = large_store(world.path, first);
    const auto copy = begin(*store);
    int pieces = 0;
    for (; pieces < 2; ++pieces) {
        const auto done = copy->go_on();
        REQUIRE(done);
        REQUIRE_FALSE(*done);
    }
    // Where the copy has been already, and where it has not.
    REQUIRE(committed(store->commit({change(pool).from(1).to(2).put(second)}, std::nullopt)));
    REQUIRE(committed(store->commit({change(other).to(1).count(9)}, std::nullopt)));
    // Nothing with a name is left of it, whatever happens now.
    CHECK(world.names() == std::vector<std::string>{"semad.db", "semad.db-wal"});
    write_file(world.copy, finish(*copy));
    REQUIRE(committed(store->commit({change(other).from(1).to(2).count(10)}, std::nullopt)));

    const auto restored = open_store(world.copy);
    const PoolRecord record = loaded(*restored, pool);
    CHECK(record.count == 3);
    CHECK(record.slots == std::vector<HeldSlot>{first, second});
    CHECK(loaded(*restored, other).count == 9);
    CHECK(*restored->pool_count() == 3002);
    CHECK(*restored->anchor() == *store->anchor());
}

TEST_CASE("a restored copy gives no fence again that may have been given since") {
    const World world;
    const auto store = open_store(world.path);
    const auto now = wall_time();
    REQUIRE(committed(
        store->commit({change(pool).to(1).count(1).fence(77), change(other).to(1).count(1).fence(200)},
                      anchor_of(now - 10s))));
    write_file(world.copy, finish(*begin(*store)));
    const fs::path again = world.folder.path() / "again.db";
    fs::copy_file(world.copy, again);
    CHECK(is_sqlite_copy(world.copy));
    const std::uint64_t an_hour_and_10_s = 3'610'000'000;
    std::uint64_t fence = 0;
    {
        const auto restored = open_store(world.copy);
        fence = loaded(*restored, pool).fence;
        CHECK(fence >= 200 + an_hour_and_10_s);
        CHECK(fence < 200 + an_hour_and_10_s + 600'000'000);
        CHECK(loaded(*restored, other).fence == fence);
        // A pool that was made since then, and is made again now.
        CHECK(std::get<Absent>(restored->load(PoolId::random())).fence == fence);
    }
    // It is a store like any other now.
    CHECK_FALSE(is_sqlite_copy(world.copy));
    CHECK(loaded(*open_store(world.copy), pool).fence == fence);
    // The same copy once more, after a while in which a lot may have been granted.
    const auto begun = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begun < 3ms) {
    }
    CHECK(loaded(*open_store(again), pool).fence >= fence + 1000);
}

TEST_CASE("the log of the store that was there before is not taken for the copy's") {
    const World world;
    const auto store = open_store(world.path);
    REQUIRE(committed(store->commit({change(pool).to(1).count(1)}, anchor_of(wall_time()))));
    write_file(world.copy, finish(*begin(*store)));
    const fs::path log = world.copy.string() + "-wal";
    fs::copy_file(world.path.string() + "-wal", log);
    const std::string before = content(world.copy);
    CHECK_THAT(refusal(world.copy), has_text("copy.db-wal is of the store that was there before: remove it"));
    CHECK(content(world.copy) == before);
    fs::remove(log);
    CHECK(refusal(world.copy) == "opened");
}

TEST_CASE("a store that nobody has open is copied to a file of its owner's alone") {
    const World world;
    large_store(world.path, some_slot(0)).reset();
    REQUIRE(world.names() == std::vector<std::string>{"semad.db"});
    const std::string before = content(world.path);
    write_file(world.copy, "the one of yesterday");
    REQUIRE(copy_sqlite_store(world.path, world.copy));
    CHECK(content(world.path) == before);
    struct stat status {};
    REQUIRE(::stat(world.copy.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777U) == 0600U);
    CHECK(world.names() == std::vector<std::string>{"copy.db", "semad.db"});
    CHECK(is_sqlite_copy(world.copy));
    CHECK(loaded(*open_store(world.copy), pool).slots.size() == 1);
}

TEST_CASE("a copy that cannot be made leaves what was there, and nothing else") {
    const World world;
    const auto why = [&](const fs::path& from, const fs::path& to) {
        const auto done = copy_sqlite_store(from, to);
        return done ? "done" : done.error().message;
    };
    CHECK_THAT(why(world.path, world.copy), has_text("there is no such file"));
    auto store = large_store(world.path, some_slot(0));
    CHECK_THAT(why(world.path, world.copy), has_text("another process has it open"));
    store.reset();
    CHECK_THAT(why(world.path, world.path), has_text("they are one file"));
    CHECK_THAT(why(world.path, world.folder.path()), has_text("not a regular file"));
    CHECK_THAT(why(world.path, "/dev/null"), has_text("not a regular file"));
    CHECK_THAT(why(world.path, "/nonexistent/copy.db"), has_text("No such file or directory"));
    write_file(world.copy, "");
    CHECK_THAT(why(world.copy, world.path), has_text("it is empty"));
    write_file(world.copy, "the one of yesterday");
    CHECK_THAT(why(world.copy, world.path), has_text("it is not an SQLite database"));
    ForkedChild full([&](const ForkedChild::Report& report) {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit low{100'000, 100'000};
        ::setrlimit(RLIMIT_FSIZE, &low);
        report(why(world.path, world.copy));
    });
    CHECK_THAT(full.next_line().value(), has_text("cannot copy") && has_text("check the disk"));
    CHECK(content(world.copy) == "the one of yesterday");
    CHECK(world.names() == std::vector<std::string>{"copy.db", "semad.db"});
}

TEST_CASE("a store or a copy is read and checked, stays as it is, and is nobody else's meanwhile") {
    const World world;
    const HeldSlot slot = some_slot(0);
    auto store = large_store(world.path, slot);
    const auto why = [&](const fs::path& path) {
        const auto outlook = check_sqlite_store(path);
        if (!outlook) return outlook.error().message;
        return std::string(outlook->is_missing ? "missing" : outlook->is_in_use ? "in use" : "read");
    };
    CHECK(why(world.path) == "in use");
    CHECK(why(world.copy) == "missing");
    write_file(world.copy, finish(*begin(*store)));
    store.reset();
    for (const fs::path& path : {world.path, world.copy}) {
        const std::string before = content(path);
        {
            const auto outlook = check_sqlite_store(path);
            REQUIRE(outlook);
            REQUIRE(outlook->store);
            CHECK(loaded(*outlook->store, pool).slots == std::vector<HeldSlot>{slot});
            CHECK(*outlook->store->pool_count() == 3001);
            CHECK_THAT(refusal(path), has_text("another process has it open"));
        }
        CHECK(content(path) == before);
    }
    CHECK(is_sqlite_copy(world.copy));
    // A page in its middle.
    std::string damaged = content(world.copy);
    damaged.replace(damaged.size() / 2, 2000, std::string(2000, '\x55'));
    write_file(world.copy, damaged);
    CHECK_THAT(why(world.copy), has_text("it is damaged"));
    write_file(world.copy, damaged.substr(0, damaged.size() / 2));
    CHECK_THAT(why(world.copy), has_text("damaged"));
}
