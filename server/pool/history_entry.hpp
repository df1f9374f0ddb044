#pragma once

#include "common/holder.hpp"
#include "server/pool/rows.hpp"
#include "server/time.hpp"

#include <boost/container/small_vector.hpp>

#include <cstdint>
#include <memory>

namespace sema {

/// Ascending. Most leases have one.
using Positions = boost::container::small_vector<Position, 2>;

/// How a lease came to its end. One whose answer did not arrive is returned, for its borrower.
enum class LeaseEnd { returned, expired, revoked, deleted };

/// One entry in the history of a pool.
struct HistoryEntry {
    /// The first four are those of LeaseEnd. The others: a borrower left without a lease, or found none and
    /// did not wait; and the pool got another count.
    enum class What : std::uint8_t { returned, expired, revoked, deleted, refused, resized };
    What what{};
    /// When it was: of a lease its end.
    TimePoint at;
    /// Of a lease.
    Duration held{};
    std::uint64_t fence = 0;
    Positions positions{};
    /// Of a borrower: until its lease was granted, or until it left.
    Duration waited{};
    int priority = 0;
    unsigned slots = 1;
    std::shared_ptr<const Holder> holder{};
    /// Of another count.
    unsigned count_before = 0;
    unsigned count = 0;

    bool is_lease() const { return what <= What::deleted; }
    TimePoint granted_at() const { return at - held; }
    /// When its borrower first asked.
    TimePoint asked_at() const { return at - held - waited; }
};

}  // namespace sema
