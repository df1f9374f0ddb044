#include "server/store/memory.hpp"

#include <mutex>
#include <unordered_map>
#include <utility>

namespace sema {
namespace {

struct MemoryPool {
    Version version = 0;
    unsigned count = 0;
    std::map<Position, Lease> leases;
};

void apply(const Changes& changes, MemoryPool& pool) {
    if (changes.cleared) pool.leases.clear();
    if (changes.count) pool.count = *changes.count;
    for (const auto& [position, lease] : changes.slots) {
        if (lease) {
            pool.leases.insert_or_assign(position, *lease);
        } else {
            pool.leases.erase(position);
        }
    }
}

}  // namespace

/// What the handles share. `mutex` guards the rest.
struct MemoryData {
    std::mutex mutex;
    std::unordered_map<PoolId, MemoryPool> pools;
    std::optional<ClockAnchor> anchor;
};

namespace {

class MemoryStore : public Store {
  public:
    explicit MemoryStore(std::shared_ptr<MemoryData> data) : data_(std::move(data)) {}

    LoadResult load(const PoolId& id) override {
        const std::lock_guard lock(data_->mutex);
        const auto found = data_->pools.find(id);
        if (found == data_->pools.end()) return Absent{};
        const MemoryPool& pool = found->second;
        PoolRecord record{pool.version, pool.count, {}};
        for (const auto& [position, lease] : pool.leases)
            record.leases.push_back(lease);
        return record;
    }

    CommitResult commit(const std::vector<PoolChange>& batch,
                        const std::optional<ClockAnchor>& anchor) override {
        const std::lock_guard lock(data_->mutex);
        for (const PoolChange& change : batch) {
            const auto found = data_->pools.find(change.pool);
            const Version current = found == data_->pools.end() ? 0 : found->second.version;
            if (current != change.base) return Stale{};
        }
        for (const PoolChange& change : batch) {
            if (change.next == 0) {
                data_->pools.erase(change.pool);
                continue;
            }
            MemoryPool& pool = data_->pools[change.pool];
            apply(change.changes, pool);
            pool.version = change.next;
        }
        if (anchor) data_->anchor = anchor;
        return Committed{};
    }

    Expected<std::size_t> pool_count() override {
        const std::lock_guard lock(data_->mutex);
        return data_->pools.size();
    }

    Expected<std::optional<ClockAnchor>> anchor() override {
        const std::lock_guard lock(data_->mutex);
        return data_->anchor;
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
