#include "server/store/history_codec.hpp"
#include "server/store/history_store.hpp"
#include "server/store/postgresql/postgresql_history.hpp"
#include "server/store/redis/redis_history.hpp"
#include "server/store/sqlite/sqlite_history.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/engines.hpp"
#include "tests/support/postgresql_server.hpp"
#include "tests/support/redis_server.hpp"
#include "tests/support/temp_dir.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <set>

// What server/store/history_store.hpp promises, asked of every store there is.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

/// Opens one more handle to the same histories; where there can be one alone, the one before has to be gone.
using Opener = std::function<std::unique_ptr<HistoryStore>()>;

struct Kind {
    std::string name;
    std::function<Opener()> make_place;
    /// Others may use it at the same time.
    bool is_shared = false;
    /// It outlives its handle.
    bool is_lasting = true;
};

std::vector<Kind> all_kinds() {
    std::vector<Kind> all = {
        {"memory", [] { return [] { return make_memory_history(); }; }, false, false},
        {"sqlite",
         [] {
             return [folder = std::make_shared<TempDir>()] {
                 return make_sqlite_history(folder->path() / "semad.db");
             };
         }},
    };
    for (const std::string& program : engines()) {
        all.push_back({program,
                       [program] {
                           // One for all tests of the process, which each use it alone.
                           static std::map<std::string, std::unique_ptr<RedisServer>> servers;
                           auto& server = servers[program];
                           if (!server) {
                               test::RedisOptions options;
                               options.engine = program;
                               server = std::make_unique<RedisServer>(options);
                           }
                           server->command({"FLUSHALL"});
                           return [url = server->url(0)] {
                               RedisStoreOptions options;
                               options.address = parse_redis_address(url).value();
                               options.answer_limit = 20s;
                               return make_redis_history(options);
                           };
                       },
                       true});
    }
    if (find_postgresql()) {
        all.push_back({"postgresql",
                       [] {
                           static PostgresqlServer server;
                           static int databases = 0;
                           const std::string database = "past_" + std::to_string(++databases);
                           server.query("CREATE DATABASE " + database);
                           PostgresqlStoreOptions options;
                           options.address = parse_postgresql_address(server.url(database)).value();
                           options.answer_limit = 20s;
                           // The schema is the store's.
                           (void)open_postgresql_store(options).value();
                           return [options] { return make_postgresql_history(options); };
                       },
                       true});
    }
    return all;
}

constexpr TimePoint now{1000h};
const HistoryBounds wide{.oldest = now - 720h, .age = 720h, .most = 1000};

HistoryEntry lease_at(TimePoint at, std::uint64_t fence) {
    return {.what = HistoryEntry::What::returned,
            .at = at,
            .held = 10s,
            .fence = fence,
            .positions = {0},
            .waited = 3s};
}

HistoryEntry refused_at(TimePoint at) {
    return {.what = HistoryEntry::What::refused, .at = at, .waited = 5s};
}

bool same(const HistoryEntry& a, const HistoryEntry& b) {
    const bool same_holder = a.holder && b.holder ? *a.holder == *b.holder : a.holder == b.holder;
    return a.what == b.what && a.at == b.at && a.held == b.held && a.fence == b.fence &&
           a.positions == b.positions && a.waited == b.waited && a.priority == b.priority &&
           a.slots == b.slots && a.count_before == b.count_before && a.count == b.count && same_holder;
}

/// A store of one kind.
struct Subject {
    explicit Subject(const Kind& kind) : open(kind.make_place()), store(open()) {}

    void append(const PoolId& pool, std::vector<HistoryEntry> entries, const HistoryBounds& bounds = wide) {
        const auto done = store->append({{pool, std::move(entries)}}, bounds);
        INFO((done ? "" : done.error().message));
        REQUIRE(done);
    }
    std::vector<HistoryEntry> read(const PoolId& pool, HistoryPart part = HistoryPart::leases,
                                   TimePoint since = {},
                                   std::size_t most = std::numeric_limits<std::size_t>::max()) {
        std::vector<HistoryEntry> entries;
        const auto done = store->read(pool, part, since, [&](HistoryEntry&& entry) {
            entries.push_back(std::move(entry));
            return entries.size() < most;
        });
        INFO((done ? "" : done.error().message));
        REQUIRE(done);
        return entries;
    }
    std::vector<std::uint64_t> fences(const PoolId& pool, TimePoint since = {},
                                      std::size_t most = std::numeric_limits<std::size_t>::max()) {
        std::vector<std::uint64_t> fences;
        for (const HistoryEntry& entry : read(pool, HistoryPart::leases, since, most))
            fences.push_back(entry.fence);
        return fences;
    }

    Opener open;
    std::unique_ptr<HistoryStore> store;
};

using Fences = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("a history gives back what was appended, each pool's and each part's on its own") {
    const auto kind = GENERATE(from_range(all_kinds()));
    CAPTURE(kind.name);
    Subject subject(kind);
    const PoolId pool = PoolId::random();
    const PoolId other = PoolId::random();
    HistoryEntry lease = lease_at(now - 60s, 0xffff'ffff'ffff'fff0U);
    lease.what = HistoryEntry::What::revoked;
    lease.positions = {3, 4, 999'999};
    lease.slots = 3;
    lease.priority = -100;
    lease.holder =
        std::make_shared<const Holder>(Holder{std::string("a\0b \xff\"';--", 10), "https://x/?a=1&b"});
    HistoryEntry refused = refused_at(now - 50s);
    refused.priority = 100;
    refused.slots = 1000;
    refused.holder = std::make_shared<const Holder>(Holder{std::nullopt, ""});
    const HistoryEntry resized{
        .what = HistoryEntry::What::resized, .at = now - 40s, .count_before = 2, .count = 1'000'000};
    subject.append(pool, {lease, refused, resized});
    subject.append(other, {lease_at(now - 30s, 7)});
    const auto leases = subject.read(pool);
    REQUIRE(leases.size() == 1);
    CHECK(same(leases[0], lease));
    const auto refusals = subject.read(pool, HistoryPart::refusals);
    REQUIRE(refusals.size() == 1);
    CHECK(same(refusals[0], refused));
    const auto counts = subject.read(pool, HistoryPart::counts);
    REQUIRE(counts.size() == 1);
    CHECK(same(counts[0], resized));
    CHECK(subject.fences(other) == Fences{7});
    CHECK(subject.read(PoolId::random()).empty());
    REQUIRE(subject.store->append({}, wide));
}

TEST_CASE("a history is read from the latest on, back to a time, and no further than is wanted") {
    const auto kind = GENERATE(from_range(all_kinds()));
    CAPTURE(kind.name);
    Subject subject(kind);
    const PoolId pool = PoolId::random();
    subject.append(pool, {lease_at(now - 300s, 1), lease_at(now - 200s, 2)});
    subject.append(pool, {lease_at(now - 50s, 4)});
    // Told of late.
    subject.append(pool, {lease_at(now - 100s, 3)});
    CHECK(subject.fences(pool) == Fences{4, 3, 2, 1});
    CHECK(subject.fences(pool, now - 200s) == Fences{4, 3, 2});
    CHECK(subject.fences(pool, now - 200s + 1us) == Fences{4, 3});
    CHECK(subject.fences(pool, now).empty());
    CHECK(subject.fences(pool, {}, 2) == Fences{4, 3});
}

TEST_CASE("a long history is read whole, though many entries have one time") {
    const auto kind = GENERATE(from_range(all_kinds()));
    CAPTURE(kind.name);
    Subject subject(kind);
    const PoolId pool = PoolId::random();
    const HistoryBounds bounds{.oldest = now - 720h, .age = 720h, .most = 100'000};
    std::vector<HistoryEntry> entries;
    std::set<std::uint64_t> expected;
    for (std::uint64_t i = 1; i <= 12'000; ++i) {
        entries.push_back(lease_at(now - std::chrono::seconds(i / 2500), i));
        expected.insert(i);
    }
    subject.append(pool, entries, bounds);
    const auto fences = subject.fences(pool);
    CHECK(fences.size() == entries.size());
    CHECK(std::set<std::uint64_t>(fences.begin(), fences.end()) == expected);
    const auto read = subject.read(pool);
    CHECK(std::is_sorted(read.begin(), read.end(), [](const auto& a, const auto& b) { return a.at > b.at; }));
}

TEST_CASE("of each part of a pool so many are kept, the latest") {
    const auto kind = GENERATE(from_range(all_kinds()));
    CAPTURE(kind.name);
    Subject subject(kind);
    const PoolId pool = PoolId::random();
    const PoolId other = PoolId::random();
    subject.append(other, {lease_at(now - 100h, 1)});
    const HistoryEntry resized{
        .what = HistoryEntry::What::resized, .at = now - 100h, .count_before = 2, .count = 1};
    subject.append(pool, {lease_at(now - 100h, 1), resized});
    for (int round = 0; round < 8; ++round) {
        std::vector<HistoryEntry> entries;
        for (int i = 0; i < 1000; ++i) {
            const auto number = static_cast<std::uint64_t>(round * 1000 + i + 2);
            entries.push_back(lease_at(now - 10h + std::chrono::seconds(number), number));
            entries.push_back(refused_at(now - 10h + std::chrono::seconds(number)));
        }
        subject.append(pool, std::move(entries));
    }
    const auto leases = subject.fences(pool);
    CHECK(leases.size() >= wide.most);
    CHECK(leases.size() <= wide.most + 1000);
    CHECK(leases.front() == 8001);
    const auto refusals = subject.read(pool, HistoryPart::refusals);
    CHECK(refusals.size() >= wide.most);
    CHECK(refusals.size() <= wide.most + 1000);
    CHECK(subject.read(pool, HistoryPart::counts).size() == 1);
    CHECK(subject.fences(other) == Fences{1});
}

TEST_CASE("what is too old is not taken, and goes by and by") {
    const auto kind = GENERATE(from_range(all_kinds()));
    CAPTURE(kind.name);
    Subject subject(kind);
    const PoolId pool = PoolId::random();
    subject.append(pool, {lease_at(now - 800h, 1), lease_at(now - 100h, 2)});
    CHECK(subject.fences(pool) == Fences{2});
    subject.append(pool, {lease_at(now - 1h, 3)});
    const HistoryBounds later{.oldest = now - 50h, .age = 720h, .most = 1000};
    REQUIRE(subject.store->prune(later));
    // Redis looks where something is added.
    subject.append(pool, {lease_at(now, 4)}, later);
    CHECK(subject.fences(pool) == Fences{4, 3});
}

TEST_CASE("a history of many pools is made shorter a little at a time") {
    const auto kind = GENERATE(from_range(all_kinds()));
    if (kind.is_shared) return;
    CAPTURE(kind.name);
    Subject subject(kind);
    std::vector<PoolPast> past;
    for (int i = 0; i < 2000; ++i)
        past.push_back({PoolId::random(), {lease_at(now - 100h, 1)}});
    REQUIRE(subject.store->append(past, wide));
    const HistoryBounds later{.oldest = now - 50h, .age = 720h, .most = 1000};
    int steps = 0;
    for (bool is_more = true; is_more; ++steps) {
        REQUIRE(steps < 100);
        is_more = subject.store->prune(later).value();
    }
    CHECK(steps > 2);
    for (const PoolPast& each : past)
        CHECK(subject.read(each.pool).empty());
}

TEST_CASE("a history that is cleared has nothing of any pool, and is kept anew") {
    const auto kind = GENERATE(from_range(all_kinds()));
    CAPTURE(kind.name);
    Subject subject(kind);
    const auto clear = [&] {
        int steps = 0;
        for (bool is_more = true; is_more; ++steps) {
            REQUIRE(steps < 100);
            is_more = subject.store->clear().value();
        }
    };
    clear();
    std::vector<PoolPast> past;
    for (int i = 0; i < 2000; ++i)
        past.push_back({PoolId::random(),
                        {lease_at(now - 100h, 1),
                         refused_at(now + 1h),
                         {.what = HistoryEntry::What::resized, .at = now, .count_before = 2, .count = 1}}});
    REQUIRE(subject.store->append(past, wide));
    clear();
    for (const PoolPast& each : past) {
        CHECK(subject.read(each.pool).empty());
        CHECK(subject.read(each.pool, HistoryPart::refusals).empty());
        CHECK(subject.read(each.pool, HistoryPart::counts).empty());
    }
    clear();
    subject.append(past[0].pool, {lease_at(now, 2)});
    CHECK(subject.fences(past[0].pool) == Fences{2});
    if (!kind.is_lasting) return;
    // One that was written by a process before.
    subject.store.reset();
    subject.store = subject.open();
    clear();
    CHECK(subject.fences(past[0].pool).empty());
}

TEST_CASE("a file of SQLite's that is cleared is gone, and one that is no history stays") {
    const TempDir folder;
    const auto file = history_path(folder.path() / "semad.db");
    const auto store = make_sqlite_history(folder.path() / "semad.db");
    CHECK(store->clear() == false);
    CHECK_FALSE(std::filesystem::exists(file));
    REQUIRE(store->append({{PoolId::random(), {lease_at(now, 1)}}}, wide));
    REQUIRE(std::filesystem::exists(file));
    CHECK(store->clear() == false);
    CHECK(std::filesystem::is_empty(folder.path()));
    std::ofstream(file) << std::string(5000, 'x');
    CHECK_FALSE(store->clear());
    CHECK(std::filesystem::file_size(file) == 5000);
}

TEST_CASE("a history outlives its handle") {
    const auto kind = GENERATE(from_range(all_kinds()));
    if (!kind.is_lasting) return;
    CAPTURE(kind.name);
    Subject subject(kind);
    const PoolId pool = PoolId::random();
    subject.append(pool, {lease_at(now - 1s, 1)});
    subject.store.reset();
    subject.store = subject.open();
    CHECK(subject.fences(pool) == Fences{1});
}

TEST_CASE("what two servers say of one end is there once") {
    const auto kind = GENERATE(from_range(all_kinds()));
    if (!kind.is_shared) return;
    CAPTURE(kind.name);
    Subject subject(kind);
    const PoolId pool = PoolId::random();
    const auto second = subject.open();
    subject.append(pool, {lease_at(now - 1s, 1)});
    REQUIRE(second->append({{pool, {lease_at(now - 1s, 1), lease_at(now, 2)}}}, wide));
    CHECK(subject.fences(pool) == Fences{2, 1});
}

TEST_CASE("an entry of whatever numbers is read as it was written") {
    std::mt19937_64 random(5);
    for (int i = 0; i < 2000; ++i) {
        HistoryEntry entry{
            .what = static_cast<HistoryEntry::What>(random() % 6),
            .at = TimePoint(Duration(static_cast<std::int64_t>(random() >> (1 + random() % 40)))),
            .held = Duration(static_cast<std::int64_t>(random() >> (1 + random() % 60))),
            .fence = random() >> (random() % 63)};
        entry.priority = static_cast<int>(random() % 201) - 100;
        entry.count = static_cast<unsigned>(random());
        for (Position position = 0; position < random() % 5; ++position)
            entry.positions.push_back(position * 100);
        if (random() % 2 == 0)
            entry.holder = std::make_shared<const Holder>(Holder{std::string(random() % 300, 'x'), {}});
        std::string bytes;
        append_bytes(entry, bytes);
        std::string_view rest = bytes;
        const auto read = take_entry(rest);
        REQUIRE(read);
        CHECK(same(*read, entry));
        CHECK(rest.empty());
        // What is cut off is no entry.
        std::string_view part = std::string_view(bytes).substr(0, random() % bytes.size());
        CHECK_FALSE(take_entry(part));
    }
}

TEST_CASE("bytes that are no entry are refused") {
    std::mt19937 random(6);
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes(random() % 60, '\0');
        for (char& byte : bytes)
            byte = static_cast<char>(random());
        if (!bytes.empty() && i % 2 == 0) bytes[0] = 1;
        std::string_view rest = bytes;
        (void)take_entry(rest);
    }
    std::string_view none;
    CHECK_FALSE(take_entry(none));
}

// Hidden: it is there to measure with. SEMA_MILLION names the folder of a semad.db, whose pools are
// 00000000-0000-0000-0000-00000000000N.
TEST_CASE("a million leases, and how long it takes to write and read them", "[.million]") {
    const char* const folder = std::getenv("SEMA_MILLION");
    REQUIRE(folder != nullptr);
    const auto store = make_sqlite_history(std::string(folder) + "/semad.db");
    const TimePoint end(
        std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
    const HistoryBounds bounds{.oldest = end - 720h, .age = 720h, .most = 100'000};
    std::mt19937 random(1);
    auto took = [begun = std::chrono::steady_clock::now()]() mutable {
        const auto here = std::chrono::steady_clock::now();
        return std::chrono::duration_cast<std::chrono::milliseconds>(here - std::exchange(begun, here))
            .count();
    };
    for (int second = 0; second < 10'000; ++second) {
        std::vector<PoolPast> past;
        for (int number = 0; number < 10; ++number) {
            PoolPast& pool = past.emplace_back();
            pool.pool = *PoolId::parse("00000000-0000-0000-0000-00000000000" + std::to_string(number));
            for (int i = 0; i < 10; ++i) {
                HistoryEntry lease = lease_at(end - std::chrono::seconds((10'000 - second) * 200 - i * 20),
                                              static_cast<std::uint64_t>(second * 10 + i + 1));
                lease.held = std::chrono::seconds(1 + random() % 100);
                lease.waited = std::chrono::seconds(random() % 200);
                lease.positions = {static_cast<Position>(random() % 4)};
                lease.holder = std::make_shared<const Holder>(Holder{
                    "user" + std::to_string(random() % 30) + "@build7:1234 vsim", "https://ci.example/1"});
                pool.entries.push_back(std::move(lease));
            }
        }
        REQUIRE(store->append(past, bounds));
    }
    WARN("written, a second's at a time: " << took() << " ms");
    for (const std::size_t most : {std::size_t{100}, std::size_t{10'000}, std::size_t{100'000}}) {
        std::size_t count = 0;
        const auto pool = *PoolId::parse("00000000-0000-0000-0000-000000000003");
        REQUIRE(store->read(pool, HistoryPart::leases, {}, [&](HistoryEntry&&) { return ++count < most; }));
        WARN("read " << count << ": " << took() << " ms");
    }
}
