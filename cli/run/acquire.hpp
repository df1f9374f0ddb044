#pragma once

#include "cli/run/held_lease.hpp"
#include "cli/run/keeper.hpp"
#include "cli/run/requests.hpp"
#include "client/borrowing.hpp"
#include "client/client.hpp"

#include <variant>

namespace sema {

/// A signal made the borrower leave.
struct Stopped {
    int signal = 0;
};

/// A lease that was to be kept alive meanwhile is gone.
struct EarlierLost {};

/// A key or another process stops the borrower (Ctrl-Z) that has earlier leases. They are to be returned
/// before it stops (see Requests::suspend()): nobody could say for how long it does.
struct Suspended {};

using Acquired =
    std::variant<HeldLease, Stopped, Suspended, EarlierLost, NoSlot, NoSuchPool, Busy, Unreachable, Rejected>;

struct Acquisition {
    wire::BorrowRequest request;

    using Stale = Borrowing::Stale;
    Stale stale = Stale::replace;
    /// Leases that are kept alive while this one is waited for. It has a client of its own.
    Keeper* earlier = nullptr;
    /// Whether a command or a shell that semactl is part of holds a slot of the pool already.
    bool is_held_above = false;
    /// Whether a person watches the wait: then the place in the queue is asked for more often.
    bool is_watched = false;
};

/// Borrows what the request asks for, and waits for it up to its `wait` of elapsed time, whatever the
/// server's own limit on waiting is, by the rules of Borrowing. With a `wait` of 0 there is one try. After a
/// signal that ends the wait, the borrower leaves the queue at once, and no slot is lost. After one that
/// stops the process (Ctrl-Z) it hangs up first, lest it be lent a slot meanwhile that nobody uses, and
/// queues again when it is continued: at its old place where the server kept that.
Acquired acquire(Client& client, Console& console, const PoolRef& pool, const Acquisition& wanted,
                 Requests& requests);

}  // namespace sema
