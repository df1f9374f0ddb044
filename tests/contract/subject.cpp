#include "tests/contract/subject.hpp"

#include "server/store/memory/memory_store.hpp"
#include "server/store/postgresql/postgresql_store.hpp"
#include "server/store/redis/redis_store.hpp"
#include "server/store/shared/shared_store.hpp"
#include "server/store/sqlite/sqlite_store.hpp"
#include "tests/support/fake_engine.hpp"
#include "tests/support/faulty_store.hpp"
#include "tests/support/postgresql_server.hpp"
#include "tests/support/redis_server.hpp"
#include "tests/support/temp_dir.hpp"

#include <algorithm>
#include <map>

using namespace std::chrono_literals;

namespace sema::test {
namespace {

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

Opener postgresql_place() {
    // One for all tests of the process, which each have a database.
    static PostgresqlServer server;
    static int databases = 0;
    const std::string database = "test_" + std::to_string(++databases);
    server.query("CREATE DATABASE " + database);
    return [address = server.url(database)]() -> Expected<std::unique_ptr<Store>> {
        PostgresqlStoreOptions options;
        options.address = parse_postgresql_address(address).value();
        // A busy machine's disk is not what is tested.
        options.answer_limit = 20s;
        return open_postgresql_store(options);
    };
}

}  // namespace

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
    if (find_postgresql())
        all.push_back({"postgresql", Handles::shared, Batches::single_changes, postgresql_place});
    return all;
}

void on_every_store(const std::function<void(Subject&)>& test) {
    for (const Engine& engine : all_engines()) {
        DYNAMIC_SECTION(engine.name) {
            Subject subject(engine);
            test(subject);
        }
    }
}

std::shared_ptr<const Holder> holder(std::optional<std::string> name, std::optional<std::string> url) {
    return std::make_shared<const Holder>(Holder{std::move(name), std::move(url)});
}

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

}  // namespace sema::test
