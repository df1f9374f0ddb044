#include "server/store/redis_clock.hpp"

#include <algorithm>

namespace sema::redis {

std::optional<Duration> ClockEstimate::take(const ClockSample& sample) {
    const Duration timeline = sample.wall + sample.offset;
    const Bounds fresh{sample.received, timeline - sample.received, timeline - sample.sent};
    if (!known_ || sample.epoch != epoch_ || sample.offset != offset_) {
        epoch_ = sample.epoch;
        offset_ = sample.offset;
        keep(fresh);
        return std::nullopt;
    }
    const Duration drifted = (sample.received - known_->at) * drift / 1'000'000;
    const Duration low = known_->low - drifted;
    const Duration high = known_->high + drifted;
    if (fresh.low > high + least_step || fresh.high < low - least_step)
        return sample.offset - ((fresh.low - low) + (fresh.high - high)) / 2;
    if (fresh.low > high || fresh.high < low) {
        // Where they contradict each other a little, the newest is right.
        keep(fresh);
    } else {
        keep({fresh.at, std::max(low, fresh.low), std::min(high, fresh.high)});
    }
    return std::nullopt;
}

void ClockEstimate::keep(const Bounds& bounds) {
    known_ = bounds;
    lead_ = bounds.low;
}

}  // namespace sema::redis
