#include "server/pool/forecast.hpp"

#include <algorithm>
#include <utility>

namespace sema {

void HoldTimes::add(Duration held) {
    // The last dozen or so leases make up most of the mean: it follows the day's work.
    constexpr double weight = 1.0 / 8;
    const auto sample = static_cast<double>(held.count());
    mean_ = mean_ < 0 ? sample : mean_ + weight * (sample - mean_);
}

std::optional<Duration> HoldTimes::mean() const {
    if (mean_ < 0) return std::nullopt;
    return Duration(static_cast<Duration::rep>(mean_));
}

Forecast::Forecast(std::vector<Duration> ends, unsigned count, std::optional<Duration> round)
    : ends_(std::move(ends)), count_(count), round_(round) {
    if (ends_.size() < count_) ends_.resize(count_, Duration::zero());
    std::sort(ends_.begin(), ends_.end());
}

std::optional<Duration> Forecast::until(std::uint64_t number) const {
    if (!round_ || count_ == 0) return std::nullopt;
    // Where more slots are busy than the pool has by now, the first ends only bring it back to its count.
    const std::uint64_t surplus = ends_.size() - count_;
    const std::uint64_t index = surplus + number - 1;
    if (index < ends_.size()) return ends_[index];
    const std::uint64_t later = index - ends_.size();
    const double rounds = 1 + static_cast<double>(later / count_);
    const double wait = static_cast<double>(ends_[surplus + later % count_].count()) +
                        rounds * static_cast<double>(round_->count());
    return from_seconds(wait / 1e6);
}

}  // namespace sema
