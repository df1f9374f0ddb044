#include "server/store/redis_clock.hpp"

#include <algorithm>

namespace sema::redis {

std::optional<ClockEstimate::Correction> ClockEstimate::take(const ClockSample& sample) {
    const Duration timeline = sample.wall + sample.offset;
    const Bounds fresh{sample.received, timeline - sample.received, timeline - sample.sent};
    if (!known_ || sample.epoch > epoch_) {
        adopt(sample, fresh);
        return std::nullopt;
    }
    const Duration drifted = (sample.received - known_->at) * drift / 1'000'000;
    const Duration low = known_->low - drifted;
    const Duration high = known_->high + drifted;
    const bool is_ahead = fresh.low > high + least_step;
    if (is_ahead && sample.epoch == epoch_ && is_witnessed(sample)) {
        adopt(sample, fresh);
        return std::nullopt;
    }
    if (is_ahead || fresh.high < low - least_step || sample.epoch < epoch_)
        return Correction{sample.offset - ((fresh.low - low) + (fresh.high - high)) / 2, epoch_ + 1};
    offset_ = sample.offset;
    if (fresh.low > high || fresh.high < low) {
        // Where they contradict each other a little, the newest is right.
        keep(fresh);
    } else {
        keep({fresh.at, std::max(low, fresh.low), std::min(high, fresh.high)});
    }
    return std::nullopt;
}

// Whether somebody found the clock right just now: nobody does after a step of it.
bool ClockEstimate::is_witnessed(const ClockSample& sample) {
    return sample.seen && *sample.seen <= sample.wall && sample.wall - *sample.seen < least_step;
}

void ClockEstimate::adopt(const ClockSample& sample, const Bounds& bounds) {
    epoch_ = sample.epoch;
    offset_ = sample.offset;
    keep(bounds);
}

void ClockEstimate::keep(const Bounds& bounds) {
    known_ = bounds;
    lead_ = bounds.low;
}

}  // namespace sema::redis
