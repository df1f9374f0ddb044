#include "server/store/shared/clock_estimate.hpp"

#include <algorithm>

namespace sema::shared {

std::optional<std::uint64_t> ClockEstimate::take(const ClockSample& sample) {
    const Duration timeline = sample.wall + sample.offset;
    const Bounds fresh{sample.received, timeline - sample.received, timeline - sample.sent};
    if (!known_) {
        adopt(sample, fresh);
        return std::nullopt;
    }
    if (sample.epoch < epoch_) return epoch_ + 1;

    const Duration drifted = (sample.received - known_->at) * drift / 1'000'000;
    const Duration low = known_->low - drifted;
    const Duration high = known_->high + drifted;
    if (fresh.low > high + least_step || fresh.high < low - least_step) {
        if (!doubt_ || doubt_->epoch != sample.epoch)
            doubt_ = Doubt{sample.received, sample.epoch, sample.seen};
        if (sample.received - doubt_->since < doubt_time) return std::nullopt;
        if (!is_witnessed(sample)) return sample.epoch + 1;
        const bool is_quick = sample.received - sample.sent <= quick_enough;
        if (!is_quick && sample.received - doubt_->since < patience) return std::nullopt;
        adopt(sample, fresh);
    } else if (sample.epoch != epoch_ || fresh.low > high || fresh.high < low) {
        // Where they contradict each other a little, the newest is right.
        adopt(sample, fresh);
    } else {
        adopt(sample, {fresh.at, std::max(low, fresh.low), std::min(high, fresh.high)});
    }
    return std::nullopt;
}

// Whether somebody found the clock right since it was doubted, and as it is now.
bool ClockEstimate::is_witnessed(const ClockSample& sample) const {
    return sample.seen && sample.seen != doubt_->seen &&
           std::chrono::abs(sample.wall - *sample.seen) < least_step;
}

void ClockEstimate::adopt(const ClockSample& sample, const Bounds& bounds) {
    doubt_.reset();
    epoch_ = sample.epoch;
    offset_ = sample.offset;
    known_ = bounds;
    lead_ = bounds.low;
}

}  // namespace sema::shared
