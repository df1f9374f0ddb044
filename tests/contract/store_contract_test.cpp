#include "server/store/memory/memory_store.hpp"
#include "server/store/redis/redis_store.hpp"
#include "server/store/shared/shared_store.hpp"
#include "server/store/sqlite/sqlite_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/fake_engine.hpp"
#include "tests/support/faulty_store.hpp"
#include "tests/support/redis_server.hpp"
#include "tests/support/store_changes.hpp"
#include "tests/support/temp_dir.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

// What server/store/store.hpp promises, asked of every store there is. A new store is one more line in
// all_engines().

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

/// Opens one more handle to the same data.
using Opener = std::function<Expected<std::unique_ptr<Store>>()>;

enum class Handles {
    /// Two stores may be open on the same data, in one process or several.
    shared,
    /// Deviation: the data belongs to the one store that has it open, and a second is refused.
    exclusive
};

enum class Batches {
    /// All changes of a batch are applied, or none.
    whole,
    /// Deviation: each change is applied or not on its own. An anchor is not kept, and the fence of a deleted
    /// pool is known for that pool alone.
    single_changes
};

struct Engine {
    std::string name;
    Handles handles;
    Batches batches;
    /// Makes a place for data, empty and the test's own.
    std::function<Opener()> make_place;
};

Opener memory_place() {
    return [data = make_memory_data()] { return make_memory_store(data); };
}

Opener sqlite_place() {
    return [folder = std::make_shared<TempDir>()] { return open_sqlite_store(folder->path() / "semad.db"); };
}

// Without a fault, the wrapper that other tests rely on is a store like any other.
Opener faulty_place() {
    return [data = make_memory_data()] {
        return make_faulty_store(make_memory_store(data), std::make_shared<StoreFaults>());
    };
}

// What shared stores have in common, over an engine that other tests rely on.
Opener fake_place() {
    return [fake = std::make_shared<FakeStore>()]() -> Expected<std::unique_ptr<Store>> {
        return open_shared_store(std::make_unique<FakeEngine>(*fake));
    };
}

/// One for all tests of the process, which each use it alone.
RedisServer& redis_server(const std::string& program) {
    static std::map<std::string, std::unique_ptr<RedisServer>> servers;
    auto& server = servers[program];
    if (!server) {
        test::RedisOptions options;
        options.engine = program;
        server = std::make_unique<RedisServer>(options);
    }
    return *server;
}

Opener redis_place(const std::string& program, std::string (RedisServer::*url)(int) const) {
    RedisServer& server = redis_server(program);
    server.command({"FLUSHALL"});
    return [address = (server.*url)(0)]() -> Expected<std::unique_ptr<Store>> {
        RedisStoreOptions options;
        options.address = parse_redis_address(address).value();
        // A busy machine's disk is not what is tested.
        options.answer_limit = 20s;
        return open_redis_store(options);
    };
}

std::vector<Engine> all_engines() {
    std::vector<Engine> all = {
        {"memory", Handles::shared, Batches::whole, memory_place},
        {"sqlite", Handles::exclusive, Batches::whole, sqlite_place},
        {"faulty, without a fault", Handles::shared, Batches::whole, faulty_place},
        {"shared, on a fake engine", Handles::shared, Batches::single_changes, fake_place},
    };
    for (const std::string& program : engines()) {
        all.push_back({program + " over TCP", Handles::shared, Batches::single_changes,
                       [=] { return redis_place(program, &RedisServer::url); }});
        all.push_back({program + " over a Unix socket", Handles::shared, Batches::single_changes,
                       [=] { return redis_place(program, &RedisServer::unix_url); }});
    }
    return all;
}

/// A store of one engine, at a place of its own.
class Subject {
  public:
    explicit Subject(const Engine& engine)
        : handles_(engine.handles),
          batches_(engine.batches),
          open_(engine.make_place()),
          store_(must_open()) {}

    Store& operator*() { return *store_; }
    Store* operator->() { return store_.get(); }

    Handles handles() const { return handles_; }
    Batches batches() const { return batches_; }
    Expected<std::unique_ptr<Store>> open_another() { return open_(); }
    void reopen() {
        store_.reset();
        store_ = must_open();
    }

    std::vector<CommitResult> commit(const std::vector<PoolChange>& batch) {
        return store_->commit(batch, std::nullopt);
    }

    /// Commits a new pool with these leases.
    void put_pool(const PoolId& pool, Version version, unsigned count,
                  const std::vector<HeldSlot>& leases = {}) {
        auto put = change(pool).to(version).count(count);
        for (const HeldSlot& lease : leases)
            put.put(lease);
        REQUIRE(committed(commit({put})));
    }

  private:
    std::unique_ptr<Store> must_open() {
        auto store = open_();
        if (!store) throw std::runtime_error(store.error().message);
        return *std::move(store);
    }

    Handles handles_;
    Batches batches_;
    Opener open_;
    std::unique_ptr<Store> store_;
};

void on_every_store(const std::function<void(Subject&)>& test) {
    for (const Engine& engine : all_engines()) {
        DYNAMIC_SECTION(engine.name) {
            Subject subject(engine);
            test(subject);
        }
    }
}

const PoolId pool_a = PoolId::random();
const PoolId pool_b = PoolId::random();

using Leases = std::vector<HeldSlot>;

std::shared_ptr<const Holder> holder(std::optional<std::string> name, std::optional<std::string> url = {}) {
    return std::make_shared<const Holder>(Holder{std::move(name), std::move(url)});
}

/// By their leases' ids, since they come in no order.
std::vector<KeptPlace> places(Store& store, const PoolId& pool) {
    auto all = loaded(store, pool).places;
    std::sort(all.begin(), all.end(),
              [](const KeptPlace& a, const KeptPlace& b) { return a.lease < b.lease; });
    return all;
}

std::uint64_t deleted_fence(Store& store, const PoolId& pool) {
    const LoadResult result = store.load(pool);
    REQUIRE(std::holds_alternative<Absent>(result));
    return std::get<Absent>(result).fence;
}

PoolSettings settings(Store& store, const PoolId& pool) {
    const auto stored = loaded(store, pool).settings;
    REQUIRE(stored);
    return *stored;
}

// Another value than the given one, for each type that a setting has.
std::string another(const std::string& text) {
    return text + "x";
}
bool another(bool flag) {
    return !flag;
}
Duration another(Duration duration) {
    return duration + 1500us;
}
std::vector<Payload> another(std::vector<Payload> payloads) {
    payloads.push_back("{\"seat\":1}");
    return payloads;
}

}  // namespace

TEST_CASE("a new store has no pools and no anchor") {
    on_every_store([](Subject& store) {
        CHECK(absent(*store, pool_a));
        CHECK(store->pool_count().value() == 0);
        CHECK_FALSE(store->anchor().value());
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

TEST_CASE("settings are kept as they were set, and nothing is there before") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 1, 4);
        CHECK_FALSE(loaded(*store, pool_a).settings);
        const PoolSettings full{
            .name = "seats of \xc3\xa4 lab",
            .cooldown = 90s,
            .renewable = false,
            .payloads = {"\"\"", "{\"url\":\"http://x/\\n\"}", "\"\xe2\x80\xa8\"", "\"a b\""}};
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2).set(full)})));
        CHECK(settings(*store, pool_a) == full);
        REQUIRE(committed(store.commit({change(pool_a).from(2).to(3).count(9).put(some_slot(0))})));
        store.reopen();
        CHECK(settings(*store, pool_a) == full);
        const PoolSettings other{.cooldown = Duration::max()};
        const Version version = loaded(*store, pool_a).version;
        REQUIRE(committed(store.commit({change(pool_a).from(version).to(version + 1).set(other)})));
        CHECK(settings(*store, pool_a) == other);
        CHECK(loaded(*store, pool_a).slots.size() == 1);
    });
}

TEST_CASE("each setting is kept on its own, and all of them together") {
    PoolSettings all;
    for_each_setting([&](const auto& setting) { all.*setting.value = another(all.*setting.value); });
    on_every_store([&](Subject& store) {
        store.put_pool(pool_a, 1, 4);
        const auto check = [&](const PoolSettings& given) {
            const Version version = loaded(*store, pool_a).version;
            REQUIRE(committed(store.commit({change(pool_a).from(version).to(version + 1).set(given)})));
            store.reopen();
            CHECK(settings(*store, pool_a) == given);
        };
        check(PoolSettings());
        for_each_setting([&](const auto& setting) {
            CAPTURE(setting.field);
            PoolSettings one;
            one.*setting.value = all.*setting.value;
            REQUIRE(one != PoolSettings());
            check(one);
        });
        check(all);
    });
}

TEST_CASE("a pool may have thousands of payloads") {
    on_every_store([](Subject& store) {
        PoolSettings many;
        for (int i = 0; i < 5000; ++i)
            many.payloads.push_back("\"" + std::string(static_cast<std::size_t>(i % 50), 'x') + "\"");
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(5000).set(many)})));
        store.reopen();
        CHECK(settings(*store, pool_a) == many);
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

TEST_CASE("a slot keeps who holds it, whether the id was chosen, and its fence") {
    on_every_store([](Subject& store) {
        HeldSlot named = some_slot(0);
        named.chosen = true;
        named.fence = 77;
        named.holder = holder("somebody");
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

TEST_CASE("a deleted pool leaves neither settings nor places, and one made again has none") {
    on_every_store([](Subject& store) {
        const auto full = [&](Version from, Version to) {
            return change(pool_a)
                .from(from)
                .to(to)
                .count(4)
                .fence(1000)
                .set({"seats", 5s, false, {"\"a\""}})
                .queue(some_place(1));
        };
        const auto is_bare = [&] {
            CHECK_FALSE(loaded(*store, pool_a).settings);
            CHECK(loaded(*store, pool_a).places.empty());
            CHECK(loaded(*store, pool_a).slots.empty());
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

namespace {

/// Draws batches that are well-formed against what the model holds, some of them stale.
class RandomBatches {
  public:
    RandomBatches(unsigned seed, Store& model) : random_(seed), model_(model) {}

    const std::vector<PoolId>& pools() const { return pools_; }

    std::vector<PoolChange> next() {
        std::vector<PoolChange> batch;
        for (const PoolId& pool : pools_) {
            if (draw(2) == 0) batch.push_back(next_change(pool));
        }
        return batch;
    }

  private:
    unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }

    PoolChange next_change(const PoolId& pool) {
        const Version base = absent(model_, pool) ? 0 : loaded(model_, pool).version;
        auto next = change(pool).from(draw(20) == 0 ? base + 1 : base).to(++version_);
        const bool clears = draw(8) == 0;
        if (clears) next.clear();
        if (clears && draw(2) == 0) return draw(2) == 0 ? next.to(0) : next.to(0).fence(fence_ += 10);
        if (base == 0 || clears || draw(4) == 0) next.count(draw(6)).fence(fence_ += 10);
        if (draw(6) == 0) next.set(some_settings());
        for (const LeaseId& lease : leases_) {
            const unsigned what = draw(6);
            if (what == 0) next.queue({lease, 0, ++arrivals_, 1 + draw(3), TimePoint(1s)});
            if (what == 1) next.unqueue(lease);
        }
        for (Position position = 0; position < 6; ++position) {
            const unsigned what = draw(4);
            if (what == 0) next.put(some_slot(position));
            if (what == 1) next.drop(position);
        }
        return next;
    }

    PoolSettings some_settings() {
        return {.name = "name",
                .cooldown = Duration(draw(9)),
                .renewable = draw(2) == 0,
                .payloads = {draw(9) ? "\"x\"" : "{}"}};
    }

    std::mt19937 random_;
    Store& model_;
    Version version_ = 0;
    std::uint64_t fence_ = 0;
    std::uint64_t arrivals_ = 0;
    std::vector<LeaseId> leases_ = {LeaseId::random(), LeaseId::random(), LeaseId::random()};
    std::vector<PoolId> pools_ = {PoolId::random(), PoolId::random(), PoolId::random(), PoolId::random()};
};

/// Batches that mean the same to a store whose batches are whole.
std::vector<std::vector<PoolChange>> split(const std::vector<PoolChange>& batch, Batches batches) {
    if (batches == Batches::whole) return {batch};
    std::vector<std::vector<PoolChange>> parts;
    for (const PoolChange& single : batch)
        parts.push_back({single});
    return parts;
}

void take_over_versions(const std::vector<PoolId>& pools, Store& from, Store& to) {
    for (const PoolId& pool : pools) {
        if (absent(from, pool)) continue;
        const Version before = loaded(to, pool).version;
        const Version after = loaded(from, pool).version;
        if (before != after)
            REQUIRE(committed(to.commit({change(pool).from(before).to(after)}, std::nullopt)));
    }
}

}  // namespace

TEST_CASE("random batches leave every store with what they leave in memory") {
    const auto seed = std::random_device()();
    CAPTURE(seed);
    on_every_store([seed](Subject& store) {
        const auto model = make_memory_store();
        RandomBatches batches(seed, *model);
        for (int round = 0; round < 200; ++round) {
            for (const auto& batch : split(batches.next(), store.batches()))
                REQUIRE(committed(store.commit(batch)) == committed(model->commit(batch, std::nullopt)));
            if (round % 50 == 49) {
                store.reopen();
                take_over_versions(batches.pools(), *store, *model);
            }
            CHECK(store->pool_count().value() == model->pool_count().value());
            for (const PoolId& pool : batches.pools()) {
                REQUIRE(absent(*store, pool) == absent(*model, pool));
                if (absent(*model, pool)) {
                    if (store.batches() == Batches::whole)
                        CHECK(deleted_fence(*store, pool) == deleted_fence(*model, pool));
                    else
                        CHECK(deleted_fence(*store, pool) <= deleted_fence(*model, pool));
                    continue;
                }
                const auto actual = loaded(*store, pool);
                const auto expected = loaded(*model, pool);
                CHECK(actual.version == expected.version);
                CHECK(actual.count == expected.count);
                CHECK(actual.slots == expected.slots);
                CHECK(actual.fence == expected.fence);
                REQUIRE(!actual.settings == !expected.settings);
                CHECK((!actual.settings || *actual.settings == *expected.settings));
                CHECK(places(*store, pool) == places(*model, pool));
            }
        }
    });
}
