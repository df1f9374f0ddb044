#pragma once

#include "common/durations.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace sema::shared {

/// What the store's clock showed at some moment between two moments of ours.
struct ClockSample {
    /// Of CLOCK_BOOTTIME: the question was sent after the first and answered before the second.
    Duration sent{};
    Duration received{};
    /// The store's wall clock, since the Unix epoch.
    Duration wall{};
    /// What makes the timeline of it, and how often that was corrected.
    Duration offset{};
    std::uint64_t epoch = 0;
    /// What the wall clock showed when it last was as some server expected it, if that is known.
    std::optional<Duration> seen{};
};

/// How far the store's timeline is ahead of this machine's CLOCK_BOOTTIME. Each sample gives a lower bound
/// and an upper one, as far apart as its answer was away; with time, bounds grow apart, since clocks drift.
/// The highest of the lower bounds is the estimate, so that the timeline is never taken to be further than it
/// is. One thread at a time; no input and no output.
class ClockEstimate {
  public:
    /// By how many millionths clocks may drift apart: as fast as clocks are slewed.
    static constexpr Duration::rep drift = 500;
    /// What lies further outside the bounds is no drift: the store's wall clock was stepped, or this machine
    /// was halted, and its clock with it.
    static constexpr Duration least_step = std::chrono::milliseconds(500);
    /// By then every server that runs has looked at the clock once more, on a busy machine too.
    static constexpr Duration doubt_time = std::chrono::seconds(1);
    /// An answer that was longer under way than this says little: what is doubted waits for a quicker one,
    /// up to `patience`, lest the leases of a server that was halted end too early by as much. Where the
    /// store is so far away that none is quicker, that is the best there is.
    static constexpr Duration quick_enough = std::chrono::milliseconds(50);
    static constexpr Duration patience = std::chrono::seconds(2);

    /// Takes a sample into account. One that contradicts what is known is left out, and so are those that
    /// follow for the time of doubt, if they still do. Then it is the truth if others have found the clock
    /// right meanwhile. If nobody has, the store's wall clock was stepped: the epoch is returned under which
    /// lead() is to be made the truth again, if the epoch is still the sample's. A store with a lower epoch
    /// than before has lost its last correction, and is given it at once.
    std::optional<std::uint64_t> take(const ClockSample& sample);

    /// Timeline minus CLOCK_BOOTTIME. REQUIRES: there was a sample.
    Duration lead() const { return lead_; }
    /// Timeline minus the store's wall clock. REQUIRES: there was a sample.
    Duration offset() const { return offset_; }
    /// How often the offset was corrected. REQUIRES: there was a sample.
    std::uint64_t epoch() const { return epoch_; }
    bool is_empty() const { return !known_; }
    /// Whether the last sample was left out.
    bool is_in_doubt() const { return doubt_.has_value(); }

  private:
    struct Bounds {
        Duration at{};
        Duration low{};
        Duration high{};
    };
    /// The first sample of those that contradict what is known.
    struct Doubt {
        Duration since{};
        std::uint64_t epoch = 0;
        std::optional<Duration> seen;
    };

    bool is_witnessed(const ClockSample& sample) const;
    void adopt(const ClockSample& sample, const Bounds& bounds);

    std::optional<Bounds> known_;
    std::optional<Doubt> doubt_;
    std::uint64_t epoch_ = 0;
    Duration offset_{};
    Duration lead_{};
};

}  // namespace sema::shared
