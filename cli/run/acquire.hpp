#pragma once

#include "cli/client.hpp"
#include "cli/run/held_lease.hpp"
#include "cli/run/signals.hpp"

#include <variant>

namespace sema {

/// A signal made the borrower leave.
struct Stopped {
    int signal = 0;
};

using Acquired = std::variant<HeldLease, Stopped, NoSlot, NoSuchPool, Unavailable, Rejected>;

/// Borrows what `request` asks for, and waits for it up to its `wait` of elapsed time, whatever the server's
/// own limit on waiting is. Trouble with the server is tried again until then, with growing pauses; with a
/// `wait` of 0 there is one try. A lease that came when too little of it was left is returned, and another
/// one is asked for in the same time, unless the request names the lease. INT, TERM, HUP and QUIT leave the
/// queue at once and strand no slot.
Acquired acquire(Client& client, Console& console, const PoolRef& pool, const wire::BorrowRequest& request,
                 Signals& signals);

}  // namespace sema
