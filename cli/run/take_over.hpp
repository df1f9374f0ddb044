#pragma once

#include "cli/run/acquire.hpp"
#include "cli/run/held_lease.hpp"
#include "cli/run/signals.hpp"
#include "client/client.hpp"

#include <cstdint>
#include <optional>
#include <variant>

namespace sema {

/// The lease is not held any more, and there is a pool of which it may have been.
struct LeaseOver {};

using TakenOver = std::variant<HeldLease, Stopped, LeaseOver, NoSuchPool, Busy, Unreachable, Rejected>;

struct Handover {
    LeaseId lease;
    /// Only the lease that has this fence is meant.
    std::optional<std::uint64_t> fence{};
    /// What the lease is renewed for, at once.
    Duration ttl{};
    /// How long a server in trouble is tried again.
    Duration patience{};
};

/// Takes over a lease that somebody else borrowed, as the body of a callback names one: it is ours to keep
/// alive and to return from then on. It is renewed first, which shows that it is held; one of a pool whose
/// leases cannot be renewed stays as it is. No other lease is borrowed in its place, be it over when we come,
/// or end while we ask. After a signal that ends a wait, the lease is returned, which is tried for what is
/// left of the time that a semactl has which was asked to end.
TakenOver take_over(Client& client, Console& console, const PoolRef& pool, const Handover& wanted,
                    Signals& signals);

}  // namespace sema
