#pragma once

#include "server/store/store.hpp"

#include <string>
#include <unordered_map>
#include <utility>

namespace sema::shared {

/// What an engine remembers of guards. A pool that is not there has no version which would keep a late commit
/// from making it. So reload() leaves a random word in its place, which the change that makes the pool has to
/// name. A server learns it with what it reads of the pool; one that does not know it is Stale once. One
/// thread at a time.
class Guards {
  public:
    /// What was just read of a pool. `guard` is empty where there is none.
    void keep(const PoolId& pool, const LoadResult& found, std::string guard) {
        if (!std::holds_alternative<Absent>(found) || guard.empty()) return forget(pool);
        if (words_.size() >= most) words_.clear();
        words_[pool] = std::move(guard);
    }
    void forget(const PoolId& pool) {
        if (!words_.empty()) words_.erase(pool);
    }
    /// Empty where none is known.
    std::string of(const PoolId& pool) const {
        if (words_.empty()) return {};
        const auto found = words_.find(pool);
        return found == words_.end() ? std::string() : found->second;
    }

  private:
    static constexpr std::size_t most = 10'000;

    std::unordered_map<PoolId, std::string> words_;
};

}  // namespace sema::shared
