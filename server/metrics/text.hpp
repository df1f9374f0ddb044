#pragma once

#include "server/metrics/histogram.hpp"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sema {

/// A text as the value of a label: other control characters than a line break, which not every reader takes,
/// are replaced.
std::string label_value(std::string_view text);

/// Writes metrics in Prometheus' text format 0.0.4. After begin(), the samples of that metric follow.
class MetricsText {
  public:
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    static constexpr const char* content_type = "text/plain; version=0.0.4; charset=utf-8";

    enum class Kind { counter, gauge, histogram };

    /// `name` and `help` have to live until the next call.
    void begin(std::string_view name, Kind kind, std::string_view help);

    void add(Labels labels, std::uint64_t value);
    /// In seconds, of a number of microseconds.
    void add_seconds(Labels labels, std::uint64_t microseconds);
    /// `bounds`: those that it counted by. They and the values count `unit` of the metric's unit to one: 1
    /// or, for seconds, 1,000,000.
    template <class Bounds>
    void add(Labels labels, const HistogramCounts& counts, const Bounds& bounds, std::uint64_t unit) {
        add(labels, counts, std::vector<std::uint64_t>(bounds.begin(), bounds.end()), unit);
    }
    void add(Labels labels, const HistogramCounts& counts, const std::vector<std::uint64_t>& bounds,
             std::uint64_t unit);

    std::string take() { return std::move(text_); }

  private:
    void sample(std::string_view suffix, Labels labels, std::string_view bound, const std::string& value);

    std::string_view name_;
    std::string text_;
};

}  // namespace sema
