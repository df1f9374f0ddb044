#pragma once

#include "server/pool/history_entry.hpp"
#include "server/pool/pool.hpp"
#include "server/time.hpp"

#include <memory>
#include <vector>

namespace sema {

/// What is known of a pool from `since` on.
struct Past {
    TimePoint since;
    /// Leases that ended then or later, in the order of their ends, each once.
    std::vector<HistoryEntry> leases{};
    /// Borrowers who left without a lease, and changes of the count, in their order. Where they were many,
    /// only the latest of those borrowers are known.
    std::vector<HistoryEntry> rest{};
    /// The pool now.
    std::shared_ptr<const PoolView> now{};
};

}  // namespace sema
