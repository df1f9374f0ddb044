#pragma once

#include "common/durations.hpp"

#include <algorithm>
#include <chrono>
#include <random>

namespace sema {

/// The pauses that a server in trouble needs: each about twice as long as the last, and spread so that a
/// crowd that lost its server does not come back in step.
class Backoff {
  public:
    Duration next() {
        const Duration pause = std::min(longest_pause, first_pause * (1 << std::min(tries_++, 10)));
        return Duration(
            std::uniform_int_distribution<Duration::rep>(pause.count() / 2, pause.count())(random_));
    }
    void reset() { tries_ = 0; }

  private:
    static constexpr Duration first_pause = std::chrono::milliseconds(100);
    static constexpr Duration longest_pause = std::chrono::seconds(5);

    int tries_ = 0;
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace sema
