#pragma once

#include "common/holder.hpp"
#include "common/ids.hpp"
#include "server/pool/rows.hpp"
#include "server/time.hpp"

#include <boost/multi_index/global_fun.hpp>
#include <boost/multi_index/ordered_index.hpp>
#include <boost/multi_index/ranked_index.hpp>
#include <boost/multi_index_container.hpp>

#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>

namespace sema {

/// Names one borrow call while it waits. Unique for the life of the process; 0 names none.
enum class Ticket : std::uint64_t {};
/// Of calls that do not wait, and of those that wait at another server.
inline constexpr Ticket no_ticket{};

/// What a borrower asks for.
struct Claim {
    Ticket ticket{};
    /// The id its lease will have, if there is one: chosen beforehand, so that the rules need no entropy.
    LeaseId lease;
    Duration ttl{};
    /// The claim is not granted at or after this point. A claim whose point has come is one that does
    /// not wait: it is granted at once or not at all.
    TimePoint give_up_at;
    /// Whether the borrower chose the id, so that it can ask again.
    bool chosen = false;
    unsigned slots = 1;
    /// Higher comes first.
    int priority = 0;
    std::shared_ptr<const Holder> holder{};
    /// Null for a borrower that waits on a connection. One that does not is to be called; it has chosen its
    /// id, and has no ticket.
    std::shared_ptr<const CallbackText> callback{};
};

/// A place in the queue: lower comes first. The priority with its sign turned, then the arrival.
using Place = std::pair<int, std::uint64_t>;

struct Waiter {
    Claim claim;
    Place place;
    TimePoint queued_at;
    /// Whether its borrower is gone, and may come back.
    bool away = false;
    /// Whether its call is over, and its borrower can be expected to ask again at once. What is held back for
    /// it stays so meanwhile.
    bool asks_again = false;
    /// For how long its last call may wait.
    Duration call{};
    /// When it gives up; when it should have asked again; or, while it is away, when it loses its place.
    TimePoint deadline;
    /// The server that can answer it, where several share the pool; none while it is away, or if it is to be
    /// called.
    ServerId server{};
    /// Whether it wants more slots than are in service: the pool keeps this up to date.
    bool too_wide = false;
};

namespace waiter_key {
inline const Place& place(const Waiter& waiter) {
    return waiter.place;
}
/// The next to be served is first. Waiters that are passed over come last, and of these, those that are away.
inline std::tuple<bool, bool, Place> serving(const Waiter& waiter) {
    return {waiter.away, waiter.too_wide, waiter.place};
}
inline std::pair<TimePoint, Place> deadline(const Waiter& waiter) {
    return {waiter.deadline, waiter.place};
}
inline std::uint64_t ticket(const Waiter& waiter) {
    return static_cast<std::uint64_t>(waiter.claim.ticket);
}
inline const LeaseId& lease(const Waiter& waiter) {
    return waiter.claim.lease;
}
}  // namespace waiter_key

struct ByPlace {};
struct ByServing {};
struct ByDeadline {};
struct ByTicket {};
struct ByLease {};

/// The waiters of one pool.
///
/// - ByPlace: in the queue's order, and each with its rank.
/// - ByServing: the waiters that are here, in the queue's order; then those of them that want more slots than
///   are in service; then those that are away.
/// - ByDeadline: the one whose time runs out first comes first.
/// - ByTicket, ByLease: to find one. (Trees: a hash table has its buckets even while the queue is empty.)
///   Several may have ticket 0: those whose place was read from the store.
using Queue = boost::multi_index_container<
    Waiter, boost::multi_index::indexed_by<
                boost::multi_index::ranked_unique<
                    boost::multi_index::tag<ByPlace>,
                    boost::multi_index::global_fun<const Waiter&, const Place&, &waiter_key::place>>,
                boost::multi_index::ordered_unique<
                    boost::multi_index::tag<ByServing>,
                    boost::multi_index::global_fun<const Waiter&, std::tuple<bool, bool, Place>,
                                                   &waiter_key::serving>>,
                boost::multi_index::ordered_unique<
                    boost::multi_index::tag<ByDeadline>,
                    boost::multi_index::global_fun<const Waiter&, std::pair<TimePoint, Place>,
                                                   &waiter_key::deadline>>,
                boost::multi_index::ordered_non_unique<
                    boost::multi_index::tag<ByTicket>,
                    boost::multi_index::global_fun<const Waiter&, std::uint64_t, &waiter_key::ticket>>,
                boost::multi_index::ordered_unique<
                    boost::multi_index::tag<ByLease>,
                    boost::multi_index::global_fun<const Waiter&, const LeaseId&, &waiter_key::lease>>>>;

}  // namespace sema
