#pragma once

#include "common/durations.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sema {

/// How long leases of a pool last, as seen so far: a mean in which the latest ones count most.
class HoldTimes {
  public:
    void add(Duration held);
    /// None before the first lease ended.
    std::optional<Duration> mean() const;

  private:
    /// In microseconds; negative while there is none.
    double mean_ = -1;
};

/// An estimate of when slots of a pool come free, for people who wait. Slots that are busy come free at their
/// expected ends, and from then on each is lent again and again for one round.
class Forecast {
  public:
    /// `ends` has an entry for each slot that is busy: the time until it can be lent again. `round` is how
    /// long a slot is taken by one lease.
    Forecast(std::vector<Duration> ends, unsigned count, std::optional<Duration> round);

    /// The time until the `number`th slot from now on can be lent (1 is the next one), free slots included.
    /// None where nothing is known, or where the pool has no slots at all.
    std::optional<Duration> until(std::uint64_t number) const;

  private:
    /// In ascending order, with zeros for free slots: `count` entries, or more where more are busy.
    std::vector<Duration> ends_;
    unsigned count_;
    std::optional<Duration> round_;
};

}  // namespace sema
