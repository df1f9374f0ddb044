#include "tests/support/faulty_store.hpp"

#include "server/store/memory/memory_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/store_changes.hpp"

#include <atomic>
#include <thread>

using namespace sema;
using namespace sema::test;

namespace {

const PoolId pool = PoolId::random();

struct Fixture {
    std::shared_ptr<StoreFaults> faults = std::make_shared<StoreFaults>();
    std::unique_ptr<Store> store = make_faulty_store(make_memory_store(), faults);

    std::vector<CommitResult> commit(Version base) {
        return store->commit({change(pool).from(base).to(base + 1).count(1)}, std::nullopt);
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "as many commits fail as were told to, and change nothing") {
    faults->fail_commits(2);
    CHECK_FALSE(failure_text(commit(0)).empty());
    CHECK_FALSE(failure_text(commit(0)).empty());
    CHECK(absent(*store, pool));
    CHECK(committed(commit(0)));
    CHECK(faults->commits() == 3);
}

TEST_CASE_METHOD(Fixture, "all commits and loads fail until they are healed") {
    faults->fail_all_commits();
    faults->fail_loads();
    for (int i = 0; i < 3; ++i)
        CHECK_FALSE(failure_text(commit(0)).empty());
    CHECK_FALSE(failure_text(store->load(pool)).empty());
    CHECK_FALSE(store->pool_count());
    CHECK_FALSE(store->anchor());
    faults->heal();
    CHECK(committed(commit(0)));
    CHECK(loaded(*store, pool).version == 1);
    CHECK(store->pool_count().value() == 1);
    CHECK(store->anchor());
}

TEST_CASE_METHOD(Fixture, "an unconfirmed commit fails and is applied, unless it was stale") {
    faults->leave_commits_unconfirmed(2);
    CHECK_FALSE(failure_text(commit(0)).empty());
    CHECK(loaded(*store, pool).version == 1);
    CHECK(stale(commit(0)));
    CHECK(committed(commit(1)));
}

TEST_CASE_METHOD(Fixture, "a commit waits at the gate until it is opened") {
    std::atomic<bool> done = false;
    std::jthread committer;
    {
        StoreFaults::Gate gate(*faults);
        committer = std::jthread([&] {
            commit(0);
            done = true;
        });
        gate.await_commit();
        CHECK_FALSE(done);
        CHECK(absent(*store, pool));
        CHECK(faults->commits() == 1);
    }
    committer.join();
    CHECK(loaded(*store, pool).version == 1);
}
