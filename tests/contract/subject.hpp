#pragma once

#include "tests/support/catch.hpp"
#include "tests/support/store_changes.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

// What server/store/store.hpp promises, asked of every store there is. A new store is one more line in
// all_engines(), in subject.cpp.

namespace sema::test {

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

std::vector<Engine> all_engines();

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

/// Each engine is a section of the test.
void on_every_store(const std::function<void(Subject&)>& test);

inline const PoolId pool_a = PoolId::random();
inline const PoolId pool_b = PoolId::random();

using Leases = std::vector<HeldSlot>;

std::shared_ptr<const Holder> holder(std::optional<std::string> name, std::optional<std::string> url = {});

/// By their leases' ids, since they come in no order.
std::vector<KeptPlace> places(Store& store, const PoolId& pool);

/// REQUIRES: the pool is absent.
std::uint64_t deleted_fence(Store& store, const PoolId& pool);

/// REQUIRES: some were set.
PoolSettings settings(Store& store, const PoolId& pool);

}  // namespace sema::test
