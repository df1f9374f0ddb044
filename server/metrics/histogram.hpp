#pragma once

#include "server/metrics/counter.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sema {

/// What a histogram has counted, for MetricsText. Several can be added up.
struct HistogramCounts {
    /// How many values were counted up to each bound and above the one before it, and last those above all.
    std::vector<std::uint64_t> counts;
    std::uint64_t sum = 0;
};

/// Counts values, none of them negative, by size. `bounds` are the greatest values of each bucket but the
/// last, ascending; `Counter` is one of counter.hpp, and says which threads may count.
template <class Counter, const auto& bounds>
class Histogram {
  public:
    void add(std::uint64_t value) {
        std::size_t bucket = 0;
        while (bucket < bounds.size() && value > bounds[bucket])
            ++bucket;
        counts_[bucket].add();
        sum_.add(value);
    }

    void add_to(HistogramCounts& total) const {
        total.counts.resize(counts_.size());
        for (std::size_t i = 0; i < counts_.size(); ++i)
            total.counts[i] += counts_[i].value();
        total.sum += sum_.value();
    }

  private:
    std::array<Counter, bounds.size() + 1> counts_;
    Counter sum_;
};

}  // namespace sema
