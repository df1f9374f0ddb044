#pragma once

#include "client/boot_clock.hpp"

#include <ctime>

namespace sema {

/// Continues this process at a moment of the boot clock, should it be stopped then: the kernel sends it a
/// CONT.
class WakeUp {
  public:
    WakeUp() = default;
    ~WakeUp();
    WakeUp(const WakeUp&) = delete;
    WakeUp& operator=(const WakeUp&) = delete;

    /// With BootClock::never it does not. False where the system gives no such timer.
    /// REQUIRES: the moment is not so near that the process may be stopped only after it.
    bool set(Moment when);

  private:
    bool exists_ = false;
    timer_t timer_{};
};

}  // namespace sema
