#pragma once

#include <atomic>
#include <cstdint>

namespace sema {

/// A number that only grows, for one thread that counts (or several of which only one is at it at a time) and
/// any that read. To count costs no more than with a plain integer.
class OwnCounter {
  public:
    void add(std::uint64_t more = 1) {
        value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
    }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

/// The same for any threads.
class SharedCounter {
  public:
    void add(std::uint64_t more = 1) { value_.fetch_add(more, std::memory_order_relaxed); }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

}  // namespace sema
