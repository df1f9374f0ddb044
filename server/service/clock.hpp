#pragma once

#include "server/store/store.hpp"
#include "server/time.hpp"

#include <optional>
#include <string>

namespace sema {

/// Where the service learns what time it is.
class Clock {
  public:
    virtual ~Clock() = default;
    Clock() = default;
    Clock(const Clock&) = delete;
    Clock& operator=(const Clock&) = delete;

    virtual TimePoint now() const = 0;

    /// The wall-clock time of a point on the timeline, as the wall clock stands now: time since the Unix
    /// epoch.
    virtual Duration unix_time(TimePoint point) const = 0;

    /// The pairing to store with the next commit; nothing while the stored one still serves. Only the
    /// thread that commits calls this and anchor_stored().
    virtual std::optional<ClockAnchor> anchor_to_store() const = 0;
    virtual void anchor_stored(const ClockAnchor& anchor) = 0;
};

/// What the operating system says of time. `boot_id` names this run of the kernel, and the time namespace, if
/// CLOCK_BOOTTIME is another one there; where it is empty, every start counts as one after a reboot.
struct OsClocks {
    std::string boot_id;
    /// CLOCK_BOOTTIME: nobody can step it, and it goes on while the machine sleeps.
    Duration (*boot_time)();
    /// CLOCK_REALTIME, since the Unix epoch.
    Duration (*wall_time)();

    static OsClocks real();
};

/// The timeline on the operating system's clocks. It runs on CLOCK_BOOTTIME. An anchor, stored beside
/// the pools, pairs a point of the timeline with that clock and with the wall clock:
/// - started again in the same boot, the timeline goes on by CLOCK_BOOTTIME, however the wall clock was
///   set meanwhile;
/// - after a reboot it goes on by the wall clock, which is all there is; it never goes back behind the
///   anchor.
/// A fresh anchor is due when the wall clock was stepped (so that a later reboot is measured from the
/// stepped clock) and when the last one is a minute old (so that little is lost should the wall clock
/// come back from a reboot in the past).
class SystemClock final : public Clock {
  public:
    explicit SystemClock(std::optional<ClockAnchor> stored, OsClocks os = OsClocks::real());

    TimePoint now() const override;
    Duration unix_time(TimePoint point) const override;
    std::optional<ClockAnchor> anchor_to_store() const override;
    void anchor_stored(const ClockAnchor& anchor) override;

  private:
    const OsClocks os_;
    std::optional<ClockAnchor> stored_;
    /// The point of the timeline at which CLOCK_BOOTTIME was 0.
    const TimePoint origin_;
};

/// The timeline of a shared store, which is the same for all its servers.
class StoreClock final : public Clock {
  public:
    /// `store` must outlive the clock.
    explicit StoreClock(const SharedStore& store) : store_(store) {}

    TimePoint now() const override { return store_.now(); }
    Duration unix_time(TimePoint point) const override { return store_.unix_time(point); }
    std::optional<ClockAnchor> anchor_to_store() const override { return std::nullopt; }
    void anchor_stored(const ClockAnchor&) override {}

  private:
    const SharedStore& store_;
};

}  // namespace sema
