#pragma once

#include "server/store/store.hpp"
#include "tests/support/eventually.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace sema::test {

/// Remembers what a shared store told. Any thread.
class RecordingListener final : public StoreListener {
  public:
    using Change = std::pair<PoolId, Version>;

    void changed(const PoolId& pool, Version version) override {
        const std::lock_guard lock(mutex_);
        changes_.emplace_back(pool, version);
    }
    void lost(ServerId server) override {
        const std::lock_guard lock(mutex_);
        lost_.push_back(server);
    }
    void reached() override {
        const std::lock_guard lock(mutex_);
        ++reached_;
    }

    void handed(const PoolId& pool, const LoadResult& state, std::uint64_t) override {
        const std::lock_guard lock(mutex_);
        turns_.emplace_back(pool, std::get<PoolRecord>(state).version);
    }

    /// Of which pools, at which versions, the turn was this server's.
    std::vector<Change> turns() const {
        const std::lock_guard lock(mutex_);
        return turns_;
    }
    std::vector<Change> changes() const {
        const std::lock_guard lock(mutex_);
        return changes_;
    }
    std::vector<ServerId> lost_servers() const {
        const std::lock_guard lock(mutex_);
        return lost_;
    }
    unsigned times_reached() const {
        const std::lock_guard lock(mutex_);
        return reached_;
    }

    bool hears_of(const PoolId& pool, Version version) const {
        return eventually([&] {
            const auto all = changes();
            return std::find(all.begin(), all.end(), Change{pool, version}) != all.end();
        });
    }
    bool loses(ServerId server) const {
        return eventually([&] {
            const auto all = lost_servers();
            return std::find(all.begin(), all.end(), server) != all.end();
        });
    }

  private:
    mutable std::mutex mutex_;
    std::vector<Change> changes_;
    std::vector<Change> turns_;
    std::vector<ServerId> lost_;
    unsigned reached_ = 0;
};

/// Has a store call a listener in this scope.
class Listening {
  public:
    Listening(SharedStore& store, StoreListener& listener) : store_(store) { store_.listen(&listener); }
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;
    ~Listening() { store_.listen(nullptr); }

  private:
    SharedStore& store_;
};

}  // namespace sema::test
