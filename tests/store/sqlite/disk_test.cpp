#include "server/store/sqlite/sqlite_store.hpp"
#include "tests/store/sqlite/faulty_disk.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/forked_child.hpp"
#include "tests/support/store_changes.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

// What becomes of commits when the process is killed, the power fails, or the disk does.

namespace fs = std::filesystem;
using namespace sema;
using namespace sema::test;

namespace {

const PoolId pool_a = PoolId::random();
const PoolId pool_b = PoolId::random();

std::unique_ptr<Store> open_store(const fs::path& folder) {
    auto store = open_sqlite_store(folder / "semad.db");
    if (!store) throw std::runtime_error(store.error().message);
    return *std::move(store);
}

Version version_of(Store& store, const PoolId& pool) {
    return absent(store, pool) ? 0 : loaded(store, pool).version;
}

/// Commits the n-th of a row of batches. Each puts a lease, granted at n microseconds, on one of 16 slots of
/// both pools.
std::vector<CommitResult> commit(Store& store, std::uint64_t n) {
    HeldSlot lease = some_slot(static_cast<Position>(n % 16));
    lease.granted_at = TimePoint(Duration(n));
    std::vector<PoolChange> batch;
    for (const PoolId& pool : {pool_a, pool_b}) {
        const Version base = version_of(store, pool);
        auto next = change(pool).from(base).to(base + 1).put(lease);
        if (base == 0) next.count(16);
        batch.push_back(next);
    }
    return store.commit(batch, std::nullopt);
}

std::vector<PoolChange> new_pools(int count) {
    std::vector<PoolChange> batch;
    for (int i = 0; i < count; ++i)
        batch.push_back(change(PoolId::random()).from(0).to(1).count(1));
    return batch;
}

/// The checkpoint sequence number in the head of a log: https://www.sqlite.org/fileformat2.html#walformat
std::string times_begun(const fs::path& log) {
    std::string number(4, '\0');
    std::ifstream file(log, std::ios::binary);
    file.seekg(12);
    file.read(number.data(), static_cast<std::streamsize>(number.size()));
    if (!file) throw std::runtime_error("cannot read " + log.string());
    return number;
}

/// Which batch was the last that both pools have. Throws unless all of it and of those before is there.
std::uint64_t last_batch(Store& store) {
    if (absent(store, pool_a) && absent(store, pool_b)) return 0;
    const PoolRecord a = loaded(store, pool_a);
    if (a.slots != loaded(store, pool_b).slots) throw std::runtime_error("the pools differ");
    const auto number = [](const HeldSlot& lease) {
        return static_cast<std::uint64_t>(lease.granted_at.time_since_epoch().count());
    };
    std::uint64_t last = 0;
    for (const HeldSlot& lease : a.slots)
        last = std::max(last, number(lease));
    if (a.slots.size() != std::min<std::uint64_t>(last, 16)) throw std::runtime_error("leases are missing");
    for (const HeldSlot& lease : a.slots) {
        if (number(lease) % 16 != lease.position || number(lease) + 16 <= last)
            throw std::runtime_error("a lease is not the last one of its slot");
    }
    return last;
}

/// True where the text tells neither pool's id, in any form.
bool keeps_ids_secret(const std::string& text) {
    const auto tells = [&](const PoolId& pool) {
        const std::string id = pool.str();
        return text.find(id) != std::string::npos || text.find(id.substr(0, 8)) != std::string::npos;
    };
    return !tells(pool_a) && !tells(pool_b);
}

}  // namespace

TEST_CASE("a server killed in the midst of commits has lost none that it reported") {
    for (const std::uint64_t when : {1U, 2U, 17U, 150U, 1000U}) {
        CAPTURE(when);
        const TempDir folder;
        ForkedChild server([&](const ForkedChild::Report& report) {
            const auto store = open_store(folder.path());
            for (std::uint64_t n = 1; committed(commit(*store, n)); ++n)
                report(std::to_string(n));
            report("failed");
        });
        std::uint64_t reported = 0;
        while (reported < when)
            reported = std::stoull(server.next_line().value());
        server.kill();
        while (const auto line = server.next_line())
            reported = std::stoull(*line);

        const auto store = open_store(folder.path());
        const std::uint64_t found = last_batch(*store);
        CHECK(found >= reported);
        CHECK(found <= reported + 1);
        CHECK(committed(commit(*store, found + 1)));
    }
}

TEST_CASE("a power cut takes no commit that was reported, however recent") {
    const FaultyDisk disk;
    const TempDir folder;
    const auto store = open_store(folder.path());
    for (std::uint64_t n = 1; n <= 20; ++n) {
        REQUIRE(committed(commit(*store, n)));
        const TempDir after_power_cut;
        disk.copy_what_survives(after_power_cut.path());
        CHECK(last_batch(*open_store(after_power_cut.path())) == n);
    }
}

TEST_CASE("a power cut during a checkpoint takes no commit either") {
    const FaultyDisk disk;
    const TempDir folder;
    auto store = open_store(folder.path());
    for (std::uint64_t n = 1; n <= 20; ++n)
        REQUIRE(committed(commit(*store, n)));
    // The last handle to go copies the log into the database.
    store.reset();
    const TempDir after_power_cut;
    disk.copy_what_survives(after_power_cut.path());
    CHECK(last_batch(*open_store(after_power_cut.path())) == 20);
}

TEST_CASE("a commit on a full disk fails and changes nothing, and the next succeeds once there is room") {
    FaultyDisk disk;
    const TempDir folder;
    auto store = open_store(folder.path());
    REQUIRE(committed(commit(*store, 1)));

    disk.fill_up();
    for (int attempt = 0; attempt < 3; ++attempt) {
        const std::string text = failure_text(commit(*store, 2));
        CHECK_THAT(text, has_text("could not commit"));
        CHECK_THAT(text, has_text("free space on its disk"));
        CHECK(keeps_ids_secret(text));
        CHECK(last_batch(*store) == 1);
    }
    disk.heal();
    CHECK(committed(commit(*store, 2)));
    CHECK(last_batch(*store) == 2);
    store.reset();
    CHECK(last_batch(*open_store(folder.path())) == 2);
}

TEST_CASE("a commit whose fsync failed is not reported, and what follows it is as durable as ever") {
    FaultyDisk disk;
    const TempDir folder;
    auto store = open_store(folder.path());
    REQUIRE(committed(commit(*store, 1)));

    disk.fail_syncs();
    for (int attempt = 0; attempt < 3; ++attempt) {
        const std::string text = failure_text(commit(*store, 2));
        CHECK_THAT(text, has_text("check the disk"));
        CHECK(keeps_ids_secret(text));
        CHECK(last_batch(*store) == 1);
    }
    disk.heal();
    for (std::uint64_t n = 2; n <= 5; ++n) {
        REQUIRE(committed(commit(*store, n)));
        const TempDir after_power_cut;
        disk.copy_what_survives(after_power_cut.path());
        CHECK(last_batch(*open_store(after_power_cut.path())) == n);
    }
}

TEST_CASE("a server killed after a failed fsync finds that batch whole or not at all") {
    const TempDir folder;
    ForkedChild server([&](const ForkedChild::Report& report) {
        FaultyDisk disk;
        const auto store = open_store(folder.path());
        report(committed(commit(*store, 1)) ? "committed" : "failed");
        disk.fail_syncs();
        report(committed(commit(*store, 2)) ? "committed" : "failed");
        ::pause();
    });
    CHECK(server.next_line() == "committed");
    CHECK(server.next_line() == "failed");
    server.kill();
    const auto store = open_store(folder.path());
    const std::uint64_t found = last_batch(*store);
    CHECK((found == 1 || found == 2));
    CHECK(committed(commit(*store, found + 1)));
}

TEST_CASE("a limit on the size of files is survived like a full disk") {
    const TempDir folder;
    ForkedChild server([&](const ForkedChild::Report& report) {
        std::signal(SIGXFSZ, SIG_IGN);
        rlimit limit{};
        ::getrlimit(RLIMIT_FSIZE, &limit);
        // Room for the tables, and in the log for some commits: not for so many that a log is begun anew.
        const rlimit low{128 * 1024, limit.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &low);
        const auto store = open_store(folder.path());
        std::uint64_t n = 1;
        auto result = commit(*store, n);
        while (committed(result) && n < 1000)
            result = commit(*store, ++n);
        report(failure_text(result));
        report(failure_text(commit(*store, n)));
        report(last_batch(*store) == n - 1 ? "unchanged" : "changed");
        ::setrlimit(RLIMIT_FSIZE, &limit);
        report(committed(commit(*store, n)) ? "committed" : "failed");
        report(std::to_string(n));
    });
    for (int attempt = 0; attempt < 2; ++attempt) {
        const std::string text = server.next_line().value();
        CHECK_THAT(text, has_text("could not commit"));
        CHECK_THAT(text, has_text("check the disk, its quota"));
        CHECK(keeps_ids_secret(text));
    }
    CHECK(server.next_line() == "unchanged");
    CHECK(server.next_line() == "committed");
    const std::uint64_t last = std::stoull(server.next_line().value());
    CHECK(last > 1);
    CHECK_FALSE(server.next_line());
    CHECK(last_batch(*open_store(folder.path())) == last);
}

TEST_CASE("the log has its full length from the start, and keeps it") {
    const TempDir folder;
    for (int open = 0; open < 2; ++open) {
        const auto store = open_store(folder.path());
        const fs::path log = folder.path() / "semad.db-wal";
        const auto full = fs::file_size(log);
        CHECK(full > std::uintmax_t{1000} * 4096);
        // Until the log was copied into the database once, and begun anew. Each pool takes a page of it or
        // two.
        REQUIRE(committed(store->commit(new_pools(20), std::nullopt)));
        const std::string first = times_begun(log);
        for (int commits = 0; commits < 1000 && times_begun(log) == first; ++commits)
            REQUIRE(committed(store->commit(new_pools(20), std::nullopt)));
        CHECK(times_begun(log) != first);
        CHECK(fs::file_size(log) == full);
    }
}

TEST_CASE("a store is opened on a full disk, and takes commits once there is room") {
    const TempDir folder;
    REQUIRE(committed(commit(*open_store(folder.path()), 1)));
    FaultyDisk disk;
    disk.fill_up();
    auto store = open_store(folder.path());
    CHECK(last_batch(*store) == 1);
    CHECK_THAT(failure_text(commit(*store, 2)), has_text("free space on its disk"));
    disk.heal();
    CHECK(committed(commit(*store, 2)));
    store.reset();
    CHECK(last_batch(*open_store(folder.path())) == 2);
}

TEST_CASE("a store whose files cannot be synced when it is opened takes commits once they can") {
    const TempDir folder;
    REQUIRE(committed(commit(*open_store(folder.path()), 1)));
    FaultyDisk disk;
    disk.fail_syncs();
    auto store = open_store(folder.path());
    CHECK(last_batch(*store) == 1);
    CHECK_THAT(failure_text(commit(*store, 2)), has_text("check the disk"));
    disk.heal();
    CHECK(committed(commit(*store, 2)));
    store.reset();
    CHECK(last_batch(*open_store(folder.path())) == 2);
}
