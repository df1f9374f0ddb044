#include "tests/support/faulty_store.hpp"

#include <chrono>
#include <stdexcept>
#include <utility>

namespace sema::test {

void StoreFaults::fail_commits(unsigned n) {
    const std::lock_guard lock(mutex_);
    failing_commits_ = n;
}

void StoreFaults::leave_commits_unconfirmed(unsigned n) {
    const std::lock_guard lock(mutex_);
    unconfirmed_commits_ = n;
}

void StoreFaults::fail_all_commits() {
    const std::lock_guard lock(mutex_);
    all_commits_fail_ = true;
}

void StoreFaults::fail_loads() {
    const std::lock_guard lock(mutex_);
    loads_fail_ = true;
}

void StoreFaults::heal() {
    const std::lock_guard lock(mutex_);
    failing_commits_ = 0;
    unconfirmed_commits_ = 0;
    all_commits_fail_ = false;
    loads_fail_ = false;
}

unsigned StoreFaults::commits() const {
    const std::lock_guard lock(mutex_);
    return commits_;
}

StoreFaults::Fate StoreFaults::begin_commit() {
    std::unique_lock lock(mutex_);
    ++commits_;
    ++held_at_gate_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !gate_closed_; });
    --held_at_gate_;
    if (all_commits_fail_) return Fate::fails;
    if (failing_commits_ > 0) {
        --failing_commits_;
        return Fate::fails;
    }
    if (unconfirmed_commits_ > 0) {
        --unconfirmed_commits_;
        return Fate::unconfirmed;
    }
    return Fate::succeeds;
}

bool StoreFaults::loads_fail() const {
    const std::lock_guard lock(mutex_);
    return loads_fail_;
}

StoreFaults::Gate::Gate(StoreFaults& faults) : faults_(faults) {
    const std::lock_guard lock(faults_.mutex_);
    faults_.gate_closed_ = true;
}

void StoreFaults::Gate::await_commit() {
    std::unique_lock lock(faults_.mutex_);
    const bool came =
        faults_.changed_.wait_for(lock, std::chrono::seconds(10), [&] { return faults_.held_at_gate_ > 0; });
    if (!came) throw std::runtime_error("no commit came to the gate within 10 s");
}

void StoreFaults::Gate::open() {
    const std::lock_guard lock(faults_.mutex_);
    faults_.gate_closed_ = false;
    faults_.changed_.notify_all();
}

class FaultyStore : public Store {
  public:
    FaultyStore(std::unique_ptr<Store> inner, std::shared_ptr<StoreFaults> faults)
        : inner_(std::move(inner)), faults_(std::move(faults)) {}

    LoadResult load(const PoolId& pool) override {
        if (faults_->loads_fail()) return made_to_fail();
        return inner_->load(pool);
    }

    std::vector<CommitResult> commit(const std::vector<PoolChange>& batch,
                                     const std::optional<ClockAnchor>& anchor) override {
        switch (faults_->begin_commit()) {
            case StoreFaults::Fate::fails:
                return std::vector<CommitResult>(batch.size(), made_to_fail());
            case StoreFaults::Fate::unconfirmed: {
                auto results = inner_->commit(batch, anchor);
                for (CommitResult& result : results) {
                    if (std::holds_alternative<Committed>(result)) result = made_to_fail();
                }
                return results;
            }
            case StoreFaults::Fate::succeeds:
                break;
        }
        return inner_->commit(batch, anchor);
    }

    Expected<std::size_t> pool_count() override {
        if (faults_->loads_fail()) return tl::unexpected(made_to_fail());
        return inner_->pool_count();
    }

    Expected<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) override {
        if (faults_->loads_fail()) return tl::unexpected(made_to_fail());
        return inner_->pools_after(after, most);
    }

    Expected<std::vector<ChosenLease>> chosen_leases() override {
        if (faults_->loads_fail()) return tl::unexpected(made_to_fail());
        return inner_->chosen_leases();
    }

    Expected<std::vector<PoolWithCallbacks>> pools_with_callbacks() override {
        if (faults_->loads_fail()) return tl::unexpected(made_to_fail());
        return inner_->pools_with_callbacks();
    }

    Expected<std::optional<ClockAnchor>> anchor() override {
        if (faults_->loads_fail()) return tl::unexpected(made_to_fail());
        return inner_->anchor();
    }

    Expected<std::optional<std::string>> seed() override {
        if (faults_->loads_fail()) return tl::unexpected(made_to_fail());
        return inner_->seed();
    }

    Expected<std::string> keep_seed(const std::string& seed) override {
        if (faults_->loads_fail()) return tl::unexpected(made_to_fail());
        return inner_->keep_seed(seed);
    }

    BegunCopy begin_copy() override { return inner_->begin_copy(); }

  private:
    static StoreFailure made_to_fail() { return {"the test made the store fail"}; }

    std::unique_ptr<Store> inner_;
    std::shared_ptr<StoreFaults> faults_;
};

std::unique_ptr<Store> make_faulty_store(std::unique_ptr<Store> inner, std::shared_ptr<StoreFaults> faults) {
    return std::make_unique<FaultyStore>(std::move(inner), std::move(faults));
}

}  // namespace sema::test
