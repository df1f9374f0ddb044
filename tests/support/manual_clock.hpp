#pragma once

#include "server/service/clock.hpp"

#include <atomic>

namespace sema::test {

/// Time that passes when the test says so.
class ManualClock final : public Clock {
  public:
    TimePoint now() const override { return TimePoint(Duration(now_.load())); }
    Duration unix_time(TimePoint point) const override { return point.time_since_epoch(); }
    std::optional<ClockAnchor> anchor_to_store() const override { return std::nullopt; }
    void anchor_stored(const ClockAnchor&) override {}

    void pass(Duration time) { now_ += time.count(); }

  private:
    std::atomic<Duration::rep> now_ = Duration(std::chrono::hours(1000)).count();
};

}  // namespace sema::test
