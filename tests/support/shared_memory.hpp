#pragma once

#include "server/service/clock.hpp"
#include "server/store/memory/memory_store.hpp"
#include "tests/support/manual_clock.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace sema::test {

class SharedMemoryStore;

/// A shared store in memory, and what a test does to it. The servers' handles are SharedMemoryStores.
/// Messages arrive within the commit that they tell of. One thread at a time.
class SharedMemory {
  public:
    /// The store is away, for every handle, until heal().
    void be_away();
    /// The next `n` commits of any handle are applied, and report a failure; the store is found anew at once.
    void leave_commits_unconfirmed(unsigned n) { unconfirmed_ = n; }
    /// The next `n` commits of any handle are not applied, and report a failure.
    void fail_commits(unsigned n) { failing_ = n; }
    /// The store can be reached, and tells every handle so. Commits succeed.
    void heal();
    /// No message arrives any more, or they do again.
    void lose_messages(bool lost = true) { messages_lost_ = lost; }
    /// The server is not heard of any more: what it has in memory goes on, but every other one is told.
    void lose(ServerId server);
    /// It is heard of again.
    void find(ServerId server) { lost_.erase(server); }
    /// Called within the next commit of any handle, before it is applied.
    void before_next_commit(std::function<void()> act) { before_commit_ = std::move(act); }

    /// It is another server's turn whenever this one commits a change, until hand().
    void keep_waiting(ServerId server) { waiting_.insert(server); }
    /// It is the turn of that handle's server, with the pool as it is; or as it was read before the store was
    /// found anew.
    void hand(SharedMemoryStore& handle, const PoolId& pool, bool is_old = false);
    /// How many mere questions were answered with yes.
    unsigned questions() const { return questions_; }

    /// The store is found anew, with another count of the pool at the version that it had: as after a
    /// failover in which changes were lost and others made. Nobody is told.
    void come_back_with(const PoolId& pool, unsigned count);

    /// The store is found anew, with the pool as it was at an earlier moment. Nobody is told.
    void go_back_to(const PoolId& pool, const PoolRecord& earlier);

    /// How many commits of changes or mere questions were answered Stale.
    unsigned stale() const { return stale_; }

    PoolRecord record(const PoolId& pool) const;
    bool has(const PoolId& pool) const;

    ManualClock& clock() { return clock_; }
    /// REQUIRES: there is no handle yet.
    void set_clock_error(Duration error) { clock_error_ = error; }

  private:
    friend class SharedMemoryStore;

    std::shared_ptr<MemoryData> data_ = make_memory_data();
    ManualClock clock_;
    Duration clock_error_{};
    std::set<SharedMemoryStore*> handles_;
    std::uint64_t servers_ = 0;
    std::set<ServerId> lost_;
    std::set<ServerId> waiting_;
    unsigned questions_ = 0;
    std::uint64_t generation_ = 1;
    bool away_ = false;
    bool messages_lost_ = false;
    unsigned unconfirmed_ = 0;
    unsigned failing_ = 0;
    unsigned stale_ = 0;
    std::function<void()> before_commit_;
};

class SharedMemoryStore final : public SharedStore {
  public:
    explicit SharedMemoryStore(SharedMemory& memory);
    ~SharedMemoryStore() override;

    LoadResult load(const PoolId& pool) override;
    std::vector<CommitResult> commit(const std::vector<PoolChange>& batch,
                                     const std::optional<ClockAnchor>& anchor) override;
    Expected<std::size_t> pool_count() override {
        if (memory_.away_) return failure("the store is away");
        return inner_->pool_count();
    }
    Expected<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) override {
        return inner_->pools_after(after, most);
    }
    Expected<std::vector<ChosenLease>> chosen_leases() override { return inner_->chosen_leases(); }
    Expected<std::vector<PoolWithCallbacks>> pools_with_callbacks() override {
        if (memory_.away_) return failure("the store is away");
        return inner_->pools_with_callbacks();
    }
    Expected<std::optional<ClockAnchor>> anchor() override { return std::nullopt; }
    Expected<std::optional<std::string>> seed() override { return inner_->seed(); }
    Expected<std::string> keep_seed(const std::string& seed) override { return inner_->keep_seed(seed); }

    ServerId self() const override { return self_; }
    Expected<void> serve_at(const std::string&) override { return {}; }
    Expected<bool> is_in_use() override { return memory_.handles_.size() > 1; }
    void listen(StoreListener* listener) override { listener_ = listener; }
    void follow(const PoolId& pool) override { followed_.insert(pool); }
    void unfollow(const PoolId& pool) override { followed_.erase(pool); }
    bool is_lost(ServerId server) override { return memory_.lost_.contains(server); }
    bool reachable() const override { return !memory_.away_; }
    std::uint64_t generation() const override { return memory_.generation_; }
    LoadResult reload(const PoolId& pool) override { return load(pool); }
    TimePoint now() const override { return memory_.clock_.now(); }
    Duration clock_error() const override { return memory_.clock_error_; }
    Duration unix_time(TimePoint point) const override { return memory_.clock_.unix_time(point); }

    bool follows(const PoolId& pool) const { return followed_.contains(pool); }

  private:
    friend class SharedMemory;
    CommitResult commit(const PoolChange& change);

    SharedMemory& memory_;
    const ServerId self_;
    std::unique_ptr<Store> inner_;
    StoreListener* listener_ = nullptr;
    std::set<PoolId> followed_;
};

}  // namespace sema::test
