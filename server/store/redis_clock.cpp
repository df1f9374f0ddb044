#include "server/store/redis_clock.hpp"

#include <algorithm>

namespace sema::redis {

std::optional<Duration> ClockEstimate::take(const ClockSample& sample) {
    const Duration timeline = sample.wall + sample.offset;
    const Bounds fresh{sample.received, timeline - sample.received, timeline - sample.sent};
    if (is_empty() || sample.epoch != epoch_ || sample.offset != offset_) {
        start_anew(sample, fresh);
        return std::nullopt;
    }
    const Bounds known = bounds_at(sample.received);
    if (fresh.low > known.high + least_step || fresh.high < known.low - least_step) {
        const Duration step = (fresh.low - known.low) / 2 + (fresh.high - known.high) / 2;
        return sample.offset - step;
    }
    // Where they contradict each other a little, the newest is right.
    if (fresh.low > known.high || fresh.high < known.low) {
        start_anew(sample, fresh);
        return std::nullopt;
    }
    bounds_.erase(std::remove_if(bounds_.begin(), bounds_.end(),
                                 [&](const Bounds& old) { return old.at < sample.received - window; }),
                  bounds_.end());
    bounds_.push_back(fresh);
    lead_ = bounds_at(sample.received).low;
    return std::nullopt;
}

ClockEstimate::Bounds ClockEstimate::bounds_at(Duration moment) const {
    Bounds best{moment, Duration::min(), Duration::max()};
    for (const Bounds& bounds : bounds_) {
        const Duration drifted = (moment - bounds.at) * drift / 1'000'000;
        best.low = std::max(best.low, bounds.low - drifted);
        best.high = std::min(best.high, bounds.high + drifted);
    }
    return best;
}

void ClockEstimate::start_anew(const ClockSample& sample, const Bounds& bounds) {
    bounds_ = {bounds};
    epoch_ = sample.epoch;
    offset_ = sample.offset;
    lead_ = bounds.low;
}

}  // namespace sema::redis
