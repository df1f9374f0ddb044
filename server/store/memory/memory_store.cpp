#include "server/store/memory/memory_store.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

namespace sema {
namespace {

struct MemoryPool {
    Version version = 0;
    unsigned count = 0;
    std::uint64_t fence = 0;
    std::shared_ptr<const PoolSettings> settings;
    std::map<Position, HeldSlot> slots;
    std::map<LeaseId, KeptPlace> places;
    std::map<Position, OutOfService> out;
    ServerId keeper{};
};

template <class Key, class Row>
void apply(const std::map<Key, std::optional<Row>>& changes, std::map<Key, Row>& rows) {
    for (const auto& [key, row] : changes) {
        if (row) {
            rows.insert_or_assign(key, *row);
        } else {
            rows.erase(key);
        }
    }
}

void apply(const Changes& changes, MemoryPool& pool) {
    if (changes.cleared) {
        pool.settings = nullptr;
        pool.slots.clear();
        pool.places.clear();
        pool.out.clear();
        pool.keeper = ServerId{};
    }
    if (changes.count) pool.count = *changes.count;
    if (changes.fence) pool.fence = *changes.fence;
    if (changes.settings) pool.settings = changes.settings;
    apply(changes.slots, pool.slots);
    apply(changes.places, pool.places);
    apply(changes.out, pool.out);
    if (changes.keeper) pool.keeper = *changes.keeper;
}

bool has_callbacks(const MemoryPool& pool) {
    return std::any_of(pool.slots.begin(), pool.slots.end(),
                       [](const auto& slot) { return slot.second.delivery != nullptr; }) ||
           std::any_of(pool.places.begin(), pool.places.end(),
                       [](const auto& place) { return place.second.callback != nullptr; });
}

}  // namespace

/// What the handles share. `mutex` guards the rest.
struct MemoryData {
    std::mutex mutex;
    std::map<PoolId, MemoryPool> pools;
    std::uint64_t deleted_fence = 0;
    std::optional<ClockAnchor> anchor;
    std::optional<std::string> seed;
};

namespace {

class MemoryStore : public Store {
  public:
    explicit MemoryStore(std::shared_ptr<MemoryData> data) : data_(std::move(data)) {}

    LoadResult load(const PoolId& id) override {
        const std::lock_guard lock(data_->mutex);
        const auto found = data_->pools.find(id);
        if (found == data_->pools.end()) return Absent{data_->deleted_fence};
        const MemoryPool& pool = found->second;
        PoolRecord record{
            .version = pool.version, .count = pool.count, .fence = pool.fence, .settings = pool.settings};
        for (const auto& [position, slot] : pool.slots)
            record.slots.push_back(slot);
        for (const auto& [lease, place] : pool.places)
            record.places.push_back(place);
        record.out = pool.out;
        record.keeper = pool.keeper;
        return record;
    }

    std::vector<CommitResult> commit(const std::vector<PoolChange>& batch,
                                     const std::optional<ClockAnchor>& anchor) override {
        const std::lock_guard lock(data_->mutex);
        for (const PoolChange& change : batch) {
            const auto found = data_->pools.find(change.pool);
            const Version current = found == data_->pools.end() ? 0 : found->second.version;
            if (current != change.base) return std::vector<CommitResult>(batch.size(), Stale{});
        }
        for (const PoolChange& change : batch) {
            if (change.next == 0) {
                std::uint64_t fence = change.changes.fence.value_or(0);
                if (const auto gone = data_->pools.extract(change.pool))
                    fence = std::max(fence, gone.mapped().fence);
                data_->deleted_fence = std::max(data_->deleted_fence, fence);
                continue;
            }
            MemoryPool& pool = data_->pools[change.pool];
            apply(change.changes, pool);
            pool.version = change.next;
        }
        if (anchor) data_->anchor = anchor;
        return std::vector<CommitResult>(batch.size(), Committed{});
    }

    Expected<std::size_t> pool_count() override {
        const std::lock_guard lock(data_->mutex);
        return data_->pools.size();
    }

    Expected<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) override {
        const std::lock_guard lock(data_->mutex);
        std::vector<PoolId> ids;
        auto pool = after ? data_->pools.upper_bound(*after) : data_->pools.begin();
        for (; pool != data_->pools.end() && ids.size() < most; ++pool)
            ids.push_back(pool->first);
        return ids;
    }

    Expected<std::vector<ChosenLease>> chosen_leases() override {
        const std::lock_guard lock(data_->mutex);
        std::vector<ChosenLease> leases;
        for (const auto& [id, pool] : data_->pools) {
            std::set<LeaseId> seen;
            for (const auto& [position, slot] : pool.slots) {
                if (slot.chosen && seen.insert(slot.lease).second)
                    leases.push_back({slot.lease, id, slot.expires_at});
            }
        }
        return leases;
    }

    Expected<std::vector<PoolWithCallbacks>> pools_with_callbacks() override {
        const std::lock_guard lock(data_->mutex);
        std::vector<PoolWithCallbacks> found;
        for (const auto& [id, pool] : data_->pools) {
            if (has_callbacks(pool)) found.push_back({id, pool.keeper});
        }
        return found;
    }

    Expected<std::optional<ClockAnchor>> anchor() override {
        const std::lock_guard lock(data_->mutex);
        return data_->anchor;
    }

    Expected<std::optional<std::string>> seed() override {
        const std::lock_guard lock(data_->mutex);
        return data_->seed;
    }

    Expected<std::string> keep_seed(const std::string& seed) override {
        const std::lock_guard lock(data_->mutex);
        if (!data_->seed) data_->seed = seed;
        return *data_->seed;
    }

    BegunCopy begin_copy() override {
        return NoCopies{"memory: is gone when semad ends, and has no backup: keep the pools in sqlite:PATH"};
    }

  private:
    std::shared_ptr<MemoryData> data_;
};

}  // namespace

std::shared_ptr<MemoryData> make_memory_data() {
    return std::make_shared<MemoryData>();
}

std::unique_ptr<Store> make_memory_store(std::shared_ptr<MemoryData> data) {
    return std::make_unique<MemoryStore>(std::move(data));
}

}  // namespace sema
