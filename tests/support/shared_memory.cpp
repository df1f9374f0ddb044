#include "tests/support/shared_memory.hpp"

#include <stdexcept>
#include <utility>

namespace sema::test {

void SharedMemory::be_away() {
    away_ = true;
}

void SharedMemory::heal() {
    unconfirmed_ = failing_ = 0;
    away_ = false;
    ++generation_;
    for (SharedMemoryStore* handle : handles_) {
        if (handle->listener_) handle->listener_->reached();
    }
}

void SharedMemory::lose(ServerId server) {
    lost_.insert(server);
    for (SharedMemoryStore* handle : handles_) {
        if (handle->self_ != server && handle->listener_) handle->listener_->lost(server);
    }
}

void SharedMemory::come_back_with(const PoolId& pool, unsigned count) {
    const Version version = record(pool).version;
    PoolChange away{pool, version, version + 1, {}};
    away.changes.count = count;
    const auto store = make_memory_store(data_);
    store->commit({away}, std::nullopt);
    store->commit({{pool, version + 1, version, {}}}, std::nullopt);
    ++generation_;
}

void SharedMemory::go_back_to(const PoolId& pool, const PoolRecord& earlier) {
    PoolChange change{.pool = pool, .base = record(pool).version, .next = earlier.version, .changes = {}};
    change.changes = {
        .cleared = true, .count = earlier.count, .fence = earlier.fence, .settings = earlier.settings};
    for (const HeldSlot& slot : earlier.slots)
        change.changes.slots[slot.position] = slot;
    for (const KeptPlace& place : earlier.places)
        change.changes.places[place.lease] = place;
    change.changes.out = {earlier.out.begin(), earlier.out.end()};
    make_memory_store(data_)->commit({change}, std::nullopt);
    ++generation_;
}

void SharedMemory::hand(SharedMemoryStore& handle, const PoolId& pool, bool is_old) {
    waiting_.erase(handle.self_);
    handle.listener_->handed(pool, record(pool), is_old ? generation_ - 1 : generation_);
}

bool SharedMemory::has(const PoolId& pool) const {
    return std::holds_alternative<PoolRecord>(make_memory_store(data_)->load(pool));
}

PoolRecord SharedMemory::record(const PoolId& pool) const {
    const auto store = make_memory_store(data_);
    LoadResult result = store->load(pool);
    if (auto* record = std::get_if<PoolRecord>(&result)) return std::move(*record);
    throw std::runtime_error("the pool is absent");
}

SharedMemoryStore::SharedMemoryStore(SharedMemory& memory)
    : memory_(memory), self_(ServerId{++memory.servers_}), inner_(make_memory_store(memory.data_)) {
    memory_.handles_.insert(this);
}

SharedMemoryStore::~SharedMemoryStore() {
    memory_.handles_.erase(this);
}

LoadResult SharedMemoryStore::load(const PoolId& pool) {
    if (memory_.away_) return StoreFailure{"the store is away"};
    return inner_->load(pool);
}

std::vector<CommitResult> SharedMemoryStore::commit(const std::vector<PoolChange>& batch,
                                                    const std::optional<ClockAnchor>&) {
    if (const auto act = std::exchange(memory_.before_commit_, {})) act();
    std::vector<CommitResult> results;
    for (const PoolChange& change : batch)
        results.push_back(commit(change));
    return results;
}

CommitResult SharedMemoryStore::commit(const PoolChange& change) {
    if (memory_.away_) return StoreFailure{"the store is away"};
    if (memory_.failing_ > 0) {
        --memory_.failing_;
        return StoreFailure{"the test made the store fail"};
    }
    const bool is_question = change.base == change.next && change.changes.empty();
    if (!is_question && memory_.waiting_.contains(self_)) return Stale{.waits_for_turn = true};
    CommitResult result = inner_->commit({change}, std::nullopt).front();
    if (std::holds_alternative<Stale>(result)) {
        ++memory_.stale_;
        return Stale{inner_->load(change.pool)};
    }
    if (is_question) ++memory_.questions_;
    if (!is_question && !memory_.messages_lost_) {
        for (SharedMemoryStore* handle : memory_.handles_) {
            if (handle != this && handle->listener_ && handle->follows(change.pool))
                handle->listener_->changed(change.pool, change.next);
        }
    }
    if (memory_.unconfirmed_ > 0) {
        --memory_.unconfirmed_;
        // Otherwise it would be known that nothing was applied.
        ++memory_.generation_;
        return StoreFailure{"the test cut the answer off"};
    }
    return result;
}

}  // namespace sema::test
