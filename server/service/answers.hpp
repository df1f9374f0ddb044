#pragma once

#include "server/pool/pool.hpp"
#include "server/time.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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
    /// Since its borrower first asked.
    Duration waited{};
};
/// A borrow that is to be called.
struct CallbackQueued {
    LeaseId lease;
    std::size_t rank = 0;
    std::size_t queue = 0;
    std::optional<Duration> eta;
};
/// A grant of which this server has yet to notify the borrower; nothing where there is none (any more).
struct DeliveryState {
    std::optional<LeaseGranted> due{};
    /// The end of an attempt counts: the borrower was to be notified until then.
    bool is_done = false;
};
/// The view shows which borrowers are to be called.
struct CallbacksListed {
    std::shared_ptr<const PoolView> view;
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
struct SlotSet {
    Position position = 0;
    /// Nothing where it is in service.
    std::optional<OutOfService> out{};
};
struct BorrowCancelled {
    bool cancelled = false;
};
struct PoolDeleted {
    bool deleted = false;
};
struct SlotsListed {
    unsigned count = 0;
    /// Null where nothing was ever set.
    std::shared_ptr<const PoolSettings> settings{};
};
/// All pools, by id: a wire::PoolList as text, since that is long.
struct PoolsListed {
    std::shared_ptr<const std::string_view> json;
};
/// All of the store, as a file.
struct StoreCopied {
    std::shared_ptr<const std::string_view> file;
};
struct StoreNotCopied {
    std::string reason;
    /// Whether such a store is never copied.
    bool is_final = false;
};
/// All metrics, as text.
struct MetricsListed {
    std::shared_ptr<const std::string_view> text;
};
/// An answer from a pool's history, as JSON.
struct HistoryListed {
    std::shared_ptr<const std::string_view> json;
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
    too_many_copies,     ///< of the store, likewise
    too_many_questions,  ///< about histories, under way
    lease_id_in_use,     ///< by another pool
    superseded,          ///< a newer call has taken the place in the queue over
    cancelled,           ///< somebody took the borrower out of the queue
    not_renewable,       ///< the pool's leases cannot be kept alive
    no_such_slot,        ///< its position is not below the count
    count_out_of_range,  ///< below 0 or above max_count
    watch_lost,          ///< the store failed: the watcher may ask anew
};

using Answer =
    std::variant<LeaseGranted, PoolCounts, LeaseReturned, PoolDeleted, LeaseRenewed, LeaseRevoked, SlotSet,
                 BorrowCancelled, SlotsListed, NotGranted, std::shared_ptr<const PoolView>, PoolsListed,
                 StoreCopied, StoreNotCopied, MetricsListed, HistoryListed, CallbackQueued, DeliveryState,
                 CallbacksListed, Refusal>;

/// An attempt to call a borrower reached it.
struct CallAccepted {};
/// It did not, and there will be no other.
struct CallGivenUp {};
/// What came of an attempt. A Delivery says when the next one is due, and what there was so far.
using AttemptEnd = std::variant<CallAccepted, CallGivenUp, Delivery>;

/// Takes the answer of a call: at most once (but for Service::watch()), from any thread, with no lock held.
/// Must not throw.
using Reply = std::function<void(const Answer&)>;

}  // namespace sema
