#pragma once

#include "client/jitter.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

namespace sema {

/// The pauses that a server in trouble needs: each about twice as long as the last, and spread so that a
/// crowd that lost its server does not come back in step.
class Backoff {
  public:
    Duration next() {
        const Duration pause = std::min(longest_pause, first_pause * (1 << std::min(tries_++, 10)));
        return random_duration(pause / 2, pause);
    }

    /// The next pause where a server, or a proxy in its place, has asked for a longer one: that is heeded as
    /// far as the pauses go, since one that asks for minutes is often back after seconds. A third of what is
    /// `left` at most, but for `least`, so that there is another try at the end.
    Duration next(std::optional<Duration> asked_for, Duration left, Duration least) {
        const Duration pause = std::max(next(), std::min(asked_for.value_or(Duration{}), longest_pause));
        return std::min(pause, std::max(left / 3, least));
    }
    void reset() { tries_ = 0; }

  private:
    static constexpr Duration first_pause = std::chrono::milliseconds(100);
    static constexpr Duration longest_pause = std::chrono::seconds(5);

    int tries_ = 0;
};

}  // namespace sema
