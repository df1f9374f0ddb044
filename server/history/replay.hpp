#pragma once

#include "server/history/past.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

namespace sema {

/// Waits, sorted.
using Waits = std::vector<Duration>;

/// What became of the borrowers of a Past with another count.
struct Replayed {
    /// Of the borrowers that were granted a lease from `since` on.
    Waits waits{};
    /// How many got none.
    std::size_t refusals = 0;
};

/// The borrowers of a past, as they came, put before a pool anew. The rules are those of Pool itself.
///
/// One that had a lease asks for as many slots with the same priority, waits for as long as it takes, and
/// holds them for as long as it did. One that left without a lease waits for as long as it did; where it is
/// granted one all the same, it holds that for the mean time. One that did not wait at all only looks whether
/// a slot is free, since it may be one that asks again and again. Borrowers stay connected, and have their
/// slots at the moment of their turn. Slots that were out of service are lent, and the cooldown is the
/// present one.
class Replay {
  public:
    explicit Replay(const Past& past);

    /// The waits as they were, and the refusals.
    Replayed as_it_was() const;
    /// With that count all the time. Nothing where `gives_up` said so, which it is asked now and then: a long
    /// queue takes its time.
    std::optional<Replayed> with(unsigned count, const std::function<bool()>& gives_up) const;
    Replayed with(unsigned count) const;

  private:
    struct Arrival {
        TimePoint at;
        TimePoint asked_at;
        /// How long it then held; 0: it only looks.
        Duration hold{};
        /// When it leaves.
        TimePoint give_up_at;
        unsigned slots = 1;
        int priority = 0;
        std::uint64_t fence = 0;
        /// It was granted its lease from `since` on: its wait counts.
        bool was_granted = false;
        /// It left without one.
        bool was_refused = false;
        Duration waited{};
    };
    class Run;

    void add_lease(const HistoryEntry& lease);
    void add_refused(const HistoryEntry& refused, Duration mean_hold);
    void add_waiter(const Waiter& waiter, Duration mean_hold);

    TimePoint since_;
    /// In the order in which they come.
    std::vector<Arrival> arrivals_;
    Duration cooldown_{};
};

}  // namespace sema
