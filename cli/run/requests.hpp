#pragma once

#include "cli/run/signals.hpp"
#include "client/boot_clock.hpp"

#include <optional>

namespace sema {

/// What signals ask of a semactl that has no command to pass them on to. It stays asked, whatever semactl was
/// doing when it read the signal. `signals` must outlive this.
class Requests {
  public:
    struct Request {
        int signal = 0;
        /// When it was read.
        Moment at{};
        /// It did not come before that: semactl may have been in a call on the server since.
        Moment since{};
        /// See Signal.
        bool parent_is_gone = false;
    };

    /// `earlier` is what asked to end before, where that was read elsewhere.
    explicit Requests(Signals& signals, const std::optional<Request>& earlier = std::nullopt)
        : signals_(signals),
          end_(earlier),
          last_(earlier),
          parent_asked_(earlier && earlier->parent_is_gone) {}

    /// Readable when take_in() has something.
    int fd() const { return signals_.fd(); }

    /// Takes in the signals that came. Whether one of them asks to end, and is no echo of an earlier one.
    bool take_in();

    /// The first request to end: see ends_waiting().
    const std::optional<Request>& end() const { return end_; }
    /// What is to stop the process (Ctrl-Z), where no CONT came since.
    const std::optional<Request>& suspension() const { return suspension_; }
    /// Obeys that, where there is such a request: returns once the process was continued.
    void suspend();

  private:
    bool is_echo(const Request& request);

    Signals& signals_;
    /// When signals were last looked for.
    Moment looked_ = BootClock::now();
    std::optional<Request> end_;
    /// The last one, and whether all so far was the end of semactl's parent.
    std::optional<Request> last_;
    bool parent_asked_ = false;
    std::optional<Request> suspension_;
};

}  // namespace sema
