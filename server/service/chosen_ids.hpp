#pragma once

#include "common/ids.hpp"
#include "server/store/store.hpp"
#include "server/sync.hpp"

#include <unordered_map>
#include <vector>

namespace sema {

/// The leases' ids that borrowers chose, over all pools: each is in use in one pool at a time. Thread-safe.
class ChosenIds {
  public:
    /// The leases that were live when the server started. Their pools are not loaded yet.
    explicit ChosenIds(const std::vector<ChosenLease>& stored);

    /// Takes `id` for `pool` until keep() or free() says otherwise. False where another pool has it.
    bool take(const LeaseId& id, const PoolId& pool, TimePoint now);

    /// The pool has the id until then. Changes nothing where another pool has it.
    void keep(const LeaseId& id, const PoolId& pool, TimePoint until, TimePoint now);
    /// The pool has it no longer.
    void free(const LeaseId& id, const PoolId& pool);

  private:
    struct Use {
        PoolId pool;
        TimePoint until;
    };

    Mutex mutex_;
    std::unordered_map<LeaseId, Use> uses_ GUARDED_BY(mutex_);
};

}  // namespace sema
