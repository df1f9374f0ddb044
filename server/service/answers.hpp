#pragma once

#include "server/pool/pool.hpp"
#include "server/time.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace sema {

struct PoolCounts {
    unsigned count = 0;
    unsigned in_use = 0;
    unsigned available = 0;
};
struct LeaseGranted {
    Lease lease;
    /// What is left of it.
    Duration remaining{};
    /// Whether the extended answer was asked for, and then the pool's settings.
    bool is_extended = false;
    std::shared_ptr<const PoolSettings> settings{};
};
struct LeaseRenewed {
    /// Nothing where it is not held.
    std::optional<Lease> lease;
    Duration remaining{};
};
struct LeaseReturned {
    bool returned = false;
};
struct LeaseRevoked {
    bool revoked = false;
};
struct BorrowCancelled {
    bool cancelled = false;
};
struct PoolDeleted {
    bool deleted = false;
};
/// All pools, by id: a wire::PoolList as text, since that is long.
struct PoolsListed {
    std::shared_ptr<const std::string> json;
};
/// No slot came free within the wait, in the extended form. The plain one is Refusal::no_resource.
struct NotGranted {
    std::size_t rank = 0;
    std::size_t queue = 0;
    unsigned in_use = 0;
    unsigned count = 0;
    std::optional<Duration> eta;
};
enum class Refusal {
    no_such_pool,
    no_resource,   ///< no slot came free within the wait
    store_failed,  ///< nothing changed, or the caller may safely try again
    shutting_down,
    too_many_waiters,
    too_many_pools,
    too_many_lists,      ///< of pools, under way or not yet delivered
    lease_id_in_use,     ///< by another pool
    superseded,          ///< a newer call has taken the place in the queue over
    cancelled,           ///< somebody took the borrower out of the queue
    not_renewable,       ///< the pool's leases cannot be kept alive
    count_out_of_range,  ///< below 0 or above max_count
    watch_lost,          ///< the store failed: the watcher may ask anew
};

using Answer =
    std::variant<LeaseGranted, PoolCounts, LeaseReturned, PoolDeleted, LeaseRenewed, LeaseRevoked,
                 BorrowCancelled, NotGranted, std::shared_ptr<const PoolView>, PoolsListed, Refusal>;

/// Takes the answer of a call: at most once (but for Service::watch()), from any thread, with no lock held.
/// Must not throw.
using Reply = std::function<void(const Answer&)>;

}  // namespace sema
