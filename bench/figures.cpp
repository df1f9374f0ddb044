#include "bench/figures.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace sema::bench {

std::chrono::duration<double, std::micro> Samples::percentile(double share) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(samples_.size())));
    const auto nth = samples_.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
    std::nth_element(samples_.begin(), nth, samples_.end());
    return *nth;
}

void report(const std::string& name, double value) {
    std::printf("%s=%.1f ", name.c_str(), value);
}

void report(const std::string& name, Samples& samples) {
    report(name + "_p50", samples.percentile(0.50).count());
    report(name + "_p95", samples.percentile(0.95).count());
    report(name + "_p99", samples.percentile(0.99).count());
}

}  // namespace sema::bench
