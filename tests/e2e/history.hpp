#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sema::test {

/// A moment as the clients' common clock shows it. The server's leases run on the same clock
/// (CLOCK_BOOTTIME), so that both sides mean the same by a ttl, however often the server is restarted.
using Moment = std::chrono::microseconds;
Moment boot_time();

enum class Outcome {
    yes,      ///< the server said so: `{"returned": true}`
    no,       ///< `{"returned": false}`
    unknown,  ///< no answer came, or one that promises nothing
};

/// One attempt to return a lease or to keep it alive, as its client saw it.
struct Attempt {
    enum class Kind { give_back, keep_alive };
    /// Just before it was sent, and when its answer was there or it was clear that there would be none.
    Moment asked{};
    Moment answered{};
    Outcome outcome = Outcome::unknown;
    Kind kind = Kind::give_back;
    /// Of a keepalive.
    std::chrono::microseconds ttl{};
};

/// A repeated borrow's answer.
struct Repeat {
    Moment asked{};
    Moment answered{};
    std::vector<int> positions;
    std::int64_t fence = 0;
};

/// One lease, as its holder saw it.
struct Holding {
    std::size_t pool = 0;
    std::vector<int> positions;
    std::string lease;
    std::chrono::microseconds ttl{};
    /// Just before the borrow was sent (the first time, where it was repeated), and just after its answer was
    /// read: the grant lies between them.
    Moment asked{};
    Moment answered{};
    /// Where the answer told one.
    std::optional<std::int64_t> fence{};
    /// Whether the borrower chose the lease's UUID.
    bool chosen = false;
    /// In the order in which they were made.
    std::vector<Attempt> attempts{};
    std::vector<Repeat> repeats{};
    /// When somebody first asked for a revocation that may have met it. breaches() sees to this.
    std::optional<Moment> revoked_at{};
    /// When the first of the stray borrows of its id was sent that may be taken in after it. breaches() sees
    /// to this.
    std::optional<Moment> strayed_at{};

    /// The lease is live from here...
    Moment certain_from() const { return answered; }
    /// ...until here, at least: when its time is up, counted from the earliest moment at which it can have
    /// begun, or when somebody first asks to end it.
    Moment certain_until() const;
};

/// A borrow with an id that its borrower chose and no answer. The server may take it in at any later time,
/// when the lease that a repeat was answered is long over: then there is another one with the id, of which
/// nobody knows, and what is tried with the id meets that.
struct Stray {
    std::size_t pool = 0;
    std::string lease;
    Moment asked{};
    /// By then the server that it was sent to was dead.
    Moment until = Moment::max();
};

/// An attempt to revoke whatever holds a position.
struct Revocation {
    std::size_t pool = 0;
    int position = 0;
    Moment asked{};
    Moment answered{};
    Outcome outcome = Outcome::unknown;
};

/// A pool's size, and when it can have been that: from when a change to it was asked for until the answer to
/// the next change.
struct CountSpan {
    int count = 0;
    Moment from = Moment::min();
    Moment until = Moment::max();
};

/// What clients saw of pools.
struct History {
    /// The sizes of each pool.
    std::vector<std::vector<CountSpan>> counts;
    std::vector<Holding> holdings;
    std::vector<Revocation> revocations{};
    std::vector<Stray> strays{};
    /// How much later than at its time a lease may end, where the clock that decides is another machine's.
    Moment lateness{};
};

/// Every breach of the semaphore's promises that the history proves, one line each; none where it could be
/// the history of a correct server. Whatever a server may have done without a client's knowledge (a grant
/// whose answer was lost, a return whose answer was lost) is no breach.
///
/// - Two leases never hold one position at the same time.
/// - No pool has more holders than slots when it grants one; no more than its largest count ever.
/// - A position is one of the pool's at the grant, and no lease has one twice.
/// - A lease lives until its ttl is over, or that of its last keepalive: no return or keepalive of it is
///   answered `false` before that, unless an earlier return or a revocation may have ended it.
/// - Nothing of a lease succeeds after its end: a return, a revocation, its time, or an answer that told it.
///   Unless a stray borrow may have made another lease of its id.
/// - A revocation finds who holds the position.
/// - A borrow that is repeated while its lease lives is answered that lease.
/// - No two leases have the same UUID; those of a UUID that the borrower chose do not live at the same time.
/// - A lease's fence is above those of all leases of the pool that were granted before.
std::vector<std::string> breaches(History history);

/// All of it, a line for each call and size, in the order of when they began: when that was and when it
/// ended, in microseconds of boot_time(), and what it was.
std::string to_text(const History& history);

/// Writes a file that outlives the test, for whoever looks into its failure: in the folder that
/// SEMA_TEST_ARTIFACTS names, or else in `histories` in the build's folder. Returns its path, or that it
/// could not be written.
std::string keep(const std::string& name, const std::string& text);

}  // namespace sema::test
