#pragma once

#include "tests/e2e/history.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sema::test {

/// A time during which something was out of order.
struct Fault {
    Moment from{};
    Moment until = Moment::max();
};

/// What a call was answered.
enum class Answer {
    yes,     ///< 200
    no,      ///< 409
    failed,  ///< 502 or 503
    none,    ///< nothing: the connection broke, or the client gave up
};

/// One call to one of several servers.
struct Call {
    std::size_t server = 0;
    /// Just before it was sent, and when its answer was there or it was clear that there would be none.
    Moment asked{};
    Moment answered{};
    Answer answer = Answer::none;
    /// How long the answer may take.
    Moment allowed{};
};

/// A borrow that may wait. Its allowed time is its `wait`.
struct Wait : Call {
    std::size_t pool = 0;
    /// By this it is known in the lists of holders and of the queue; no other borrow has it.
    std::string name;
    int priority = 0;
    /// Where it was granted.
    std::int64_t fence = 0;
    /// The same lease was asked for again, so that an earlier answer was not the last word on it.
    bool repeated = false;
    /// When that lease was first asked for, where this borrow asks again: its place may be as old.
    std::optional<Moment> first_asked{};
};

/// What one server told of a pool.
struct Sighting {
    std::size_t server = 0;
    std::size_t pool = 0;
    Moment asked{};
    Moment answered{};
    int available = 0;
    /// The names of the borrowers that wait, and of those that have a slot.
    std::vector<std::string> queue{};
    std::vector<std::string> holders{};
};

/// What clients of several servers that share a store saw, beside what they held. Borrows are of one slot.
struct Account {
    /// Other calls than borrows.
    std::vector<Call> calls;
    std::vector<Wait> waits;
    std::vector<Sighting> sightings;

    /// Per server: when it was down, halted, or cut off from its clients.
    std::vector<std::vector<Fault>> unanswering;
    /// Per server: when it was cut off from the store.
    std::vector<std::vector<Fault>> cut_off;
    /// When nobody could use the store.
    std::vector<Fault> store_away;
    /// When what the store tells of the queue may have been lost.
    std::vector<Fault> queue_lost;

    /// How much longer than allowed everything may take.
    Moment tolerance = std::chrono::milliseconds(1500);
};

/// Every lapse of the service that the account proves, one line each.
///
/// - A call is answered within its time, whatever has become of the store, if only its server runs and can
///   be reached.
/// - Who was seen in the queue, and stayed there on a server that was well, is granted before whoever asked
///   later with no higher priority; through whichever servers they came.
/// - A borrow that was answered 502 or 503 has no slot once the store can be reached again for 2 s.
/// - No slot is free for longer than a second while somebody waits for it.
std::vector<std::string> lapses(const Account& account);

/// The borrows and the looks at the pools, a line each.
std::string to_text(const Account& account);

}  // namespace sema::test
