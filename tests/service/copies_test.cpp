#include "server/service/stock.hpp"
#include "server/store/sqlite/sqlite_store.hpp"
#include "tests/service/bench.hpp"
#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <fstream>

// Copies of the store that a service makes while it serves.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;
namespace fs = std::filesystem;

namespace {

/// A service on a file.
struct World : Calls {
    World() {
        service = std::make_unique<Service>(*store, clock, ServiceLimits{});
        // More than a piece of a copy has.
        for (int i = 0; i < 2000; ++i) {
            service->put(PoolId::random(),
                         wire::RegisterRequest{.count = 1, .settings = {.name = std::string(250, 'x')}},
                         [](const Answer&) {});
        }
        flush();
    }
    ~World() { service.reset(); }

    Call copy() {
        Call call;
        service->copy_store(call.reply());
        return call;
    }

    TempDir folder;
    ManualClock clock;
    std::unique_ptr<Store> store = *open_sqlite_store(folder.path() / "semad.db");
};

}  // namespace

TEST_CASE("calls are answered while a copy is made, and what they did is in it") {
    World world;
    world.made(1);
    const Calls::Call copy = world.copy();
    world.service->flush();
    world.service->flush();
    REQUIRE_FALSE(copy.answered());
    const Calls::Call borrow = world.borrow(600s);
    world.service->flush();
    const Lease lease = borrow.as<LeaseGranted>().lease;
    REQUIRE_FALSE(copy.answered());
    world.flush();
    const fs::path file = world.folder.path() / "copy.db";
    std::ofstream(file, std::ios::binary) << *copy.as<StoreCopied>().file;
    const auto outlook = check_sqlite_store(file);
    REQUIRE(outlook);
    Store& restored = *outlook->store;
    const LoadResult record = restored.load(world.pool);
    REQUIRE(std::holds_alternative<PoolRecord>(record));
    REQUIRE(std::get<PoolRecord>(record).slots.size() == 1);
    CHECK(std::get<PoolRecord>(record).slots[0].lease == lease.id);
    const auto stock = take_stock(restored, world.clock.now(), PoolLimits{});
    REQUIRE(stock);
    CHECK(stock->pools == 2001);
    CHECK(stock->leases == 1);
    CHECK(stock->places == 0);
}

TEST_CASE("one copy is made at a time, and the next once the last of its bytes is gone") {
    World world;
    Calls::Call first = world.copy();
    CHECK(world.copy().is(Refusal::too_many_copies));
    world.flush();
    REQUIRE(first.answered());
    CHECK(world.copy().is(Refusal::too_many_copies));
    first.answer->reset();
    const Calls::Call second = world.copy();
    world.flush();
    CHECK(second.as<StoreCopied>().file->size() > 100'000);
}

TEST_CASE("a server that stops gives up the copy that it makes") {
    World world;
    const Calls::Call copy = world.copy();
    world.service->flush();
    world.service->drain();
    world.flush();
    CHECK(copy.is(Refusal::shutting_down));
    CHECK(world.copy().is(Refusal::shutting_down));
}

TEST_CASE("a store that is backed up in another way says so") {
    Bench bench;
    Calls::Call copy;
    bench.service->copy_store(copy.reply());
    bench.flush();
    CHECK(copy.as<StoreNotCopied>().is_final);
    CHECK(copy.as<StoreNotCopied>().reason.find("memory: ") == 0);
}

TEST_CASE("pools, leases and waiters are counted over all pools") {
    Bench bench;
    const auto use = [&] {
        const Service::Use now = bench.service->use();
        return std::vector<std::size_t>{now.pools, now.leases, now.waiters};
    };
    CHECK(use() == std::vector<std::size_t>{0, 0, 0});
    bench.made(2);
    const Lease lease = bench.granted(60s);
    bench.granted(10s);
    bench.borrow(60s, 30s);
    bench.flush();
    CHECK(use() == std::vector<std::size_t>{1, 2, 1});
    bench.pass(11s);
    CHECK(use() == std::vector<std::size_t>{1, 2, 0});
    bench.give_back(lease.id);
    bench.flush();
    CHECK(use() == std::vector<std::size_t>{1, 1, 0});
    bench.faults->fail_commits(1);
    bench.borrow(60s);
    bench.flush();
    CHECK(use() == std::vector<std::size_t>{1, 1, 0});
    bench.remove();
    bench.flush();
    CHECK(use() == std::vector<std::size_t>{0, 0, 0});
}
