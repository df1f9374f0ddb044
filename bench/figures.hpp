#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace sema::bench {

using Clock = std::chrono::steady_clock;

/// Times of one kind of event, in the order in which they were taken.
class Samples {
  public:
    void add(Clock::duration sample) { samples_.push_back(sample); }
    std::size_t size() const { return samples_.size(); }

    /// The sample that `share` (0..1) of the samples do not exceed. REQUIRES: there are samples.
    std::chrono::duration<double, std::micro> percentile(double share);

  private:
    std::vector<Clock::duration> samples_;
};

/// Prints `name=value ` on standard output: the form in which script/bench reads all figures.
void report(const std::string& name, double value);

/// Reports the median and the 95th and 99th percentile in microseconds, as `NAME_p50`, `NAME_p95` and
/// `NAME_p99`.
void report(const std::string& name, Samples& samples);

}  // namespace sema::bench
