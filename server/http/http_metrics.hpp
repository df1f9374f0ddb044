#pragma once

#include "server/http/call_kind.hpp"
#include "server/metrics/counter.hpp"
#include "server/metrics/histogram.hpp"
#include "server/metrics/text.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace sema::http {

/// In microseconds.
inline constexpr std::array<std::uint64_t, 12> request_bounds = {
    250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000, 2'500'000};

/// The statuses that are answered. The last stands for any other.
inline constexpr std::array<int, 20> counted_statuses = {200, 400, 401, 403, 404, 405, 408, 409, 413, 414,
                                                         415, 417, 431, 500, 501, 502, 503, 505, 202, 0};

/// What one worker has answered; that alone counts.
class CallCounters {
  public:
    void count(CallKind call, int status);
    void count_time(std::chrono::steady_clock::duration time);

  private:
    friend class HttpMetrics;

    std::array<std::array<OwnCounter, counted_statuses.size()>, call_names.size()> answers_;
    Histogram<OwnCounter, request_bounds> seconds_;
};

/// What all workers have answered.
class HttpMetrics {
  public:
    /// For one more worker, for as long as this lives. To be called before any other thread uses this.
    CallCounters& add_worker();

    /// Any thread.
    void write(MetricsText& text, std::size_t connections) const;

  private:
    std::vector<std::unique_ptr<CallCounters>> workers_;
};

}  // namespace sema::http
