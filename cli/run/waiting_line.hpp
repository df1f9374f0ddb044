#pragma once

#include "cli/boot_clock.hpp"
#include "cli/console.hpp"

#include <string>

namespace sema {

/// What somebody who waits for a slot gets to see: on a terminal one line that counts, elsewhere one line
/// when the waiting begins. Both end with a line that tells the position. Who doesn't have to wait sees
/// nothing.
class WaitingLine {
  public:
    /// `wait` is how long the borrower is ready to wait in all.
    WaitingLine(Console& console, std::string pool, Duration wait);

    /// To be called now and then while waiting.
    void update(Moment now);

    /// The server is in trouble, and it is tried again: said once per reason.
    void trouble(const std::string& server, const std::string& reason);
    /// The trouble is over.
    void recovered() { trouble_.clear(); }

    void granted(Moment now, unsigned position);

  private:
    bool is_waiting(Moment now) const;

    Console& console_;
    std::string pool_;
    Duration wait_;
    Moment begin_ = BootClock::now();
    bool announced_ = false;
    std::string trouble_;
};

}  // namespace sema
