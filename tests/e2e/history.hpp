#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace sema::test {

/// A moment as the clients' common clock shows it. The server's leases run on the same clock
/// (CLOCK_BOOTTIME), so that both sides mean the same by a ttl, however often the server is restarted.
using Moment = std::chrono::microseconds;
Moment boot_time();

/// One attempt to return a lease, as its client saw it.
struct ReturnAttempt {
    enum class Outcome {
        yes,      ///< `{"returned": true}`
        no,       ///< `{"returned": false}`
        unknown,  ///< no answer came, or one that promises nothing
    };
    Moment asked{};
    /// When the answer was there. Nothing where the outcome is unknown.
    Moment answered{};
    Outcome outcome = Outcome::unknown;
};

/// One lease, as its holder saw it.
struct Holding {
    std::size_t pool = 0;
    int position = 0;
    std::string lease;
    std::chrono::microseconds ttl{};
    /// Just before the borrow was sent, and just after its answer was read: the grant lies between them.
    Moment asked{};
    Moment answered{};
    /// In the order in which they were made.
    std::vector<ReturnAttempt> returns;

    /// The lease is live from here...
    Moment certain_from() const { return answered; }
    /// ...until here, at least: when its time is up, counted from the earliest moment at which it can have
    /// begun, or when its holder first asks to return it.
    Moment certain_until() const;
};

/// What clients saw of pools of constant size. `counts` has the size of each pool.
struct History {
    std::vector<int> counts;
    std::vector<Holding> holdings;
};

/// Every breach of the semaphore's promises that the history proves, one line each; none where it could be
/// the history of a correct server. Whatever a server may have done without a client's knowledge (a grant
/// whose answer was lost, a return whose answer was lost) is no breach.
///
/// - Two leases never hold one position at the same time, and no pool has more holders than slots.
/// - A position is one of the pool's.
/// - A lease lives until its ttl is over: no return of it is answered `false` before that, unless an earlier
///   return may have succeeded.
/// - A lease is returned once, and not after its ttl is over.
/// - No two leases have the same UUID.
std::vector<std::string> breaches(const History& history);

}  // namespace sema::test
