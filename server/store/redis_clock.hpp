#pragma once

#include "common/durations.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace sema::redis {

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
    /// What lies further outside the bounds is a step of the wall clock and no drift.
    static constexpr Duration least_step = std::chrono::milliseconds(500);

    struct Correction {
        Duration offset{};
        std::uint64_t epoch = 0;
    };

    /// Takes a sample into account. Where it shows that the store's wall clock was stepped, or that the store
    /// has lost its last correction, it is left out, and the correction is returned that lets the timeline go
    /// on: to be stored if the epoch is still the sample's. One with a later epoch than the last replaces all
    /// that was known, and so does one that is ahead of what was expected while others find it right: then
    /// this machine was halted, and its clock with it.
    std::optional<Correction> take(const ClockSample& sample);

    /// Timeline minus CLOCK_BOOTTIME. REQUIRES: there was a sample.
    Duration lead() const { return lead_; }
    /// Timeline minus the store's wall clock. REQUIRES: there was a sample.
    Duration offset() const { return offset_; }
    /// How often the offset was corrected. REQUIRES: there was a sample.
    std::uint64_t epoch() const { return epoch_; }
    bool is_empty() const { return !known_; }

  private:
    struct Bounds {
        Duration at{};
        Duration low{};
        Duration high{};
    };

    static bool is_witnessed(const ClockSample& sample);
    void adopt(const ClockSample& sample, const Bounds& bounds);
    void keep(const Bounds& bounds);

    std::optional<Bounds> known_;
    std::uint64_t epoch_ = 0;
    Duration offset_{};
    Duration lead_{};
};

}  // namespace sema::redis
