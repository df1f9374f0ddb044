#pragma once

#include "server/sync.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace sema {

/// Writes lines to standard error, in a thread of its own: nobody waits for a reader that is slow or stands
/// still. Thread-safe.
class LogOutput {
  public:
    /// Makes a line, with its end, that says how many are missing, and why.
    using LostLine = std::function<std::string(std::uint64_t lines, const std::string& why)>;

    explicit LogOutput(LostLine lost);
    /// Writes what is left, for as long as it is read.
    ~LogOutput();
    LogOutput(const LogOutput&) = delete;
    LogOutput& operator=(const LogOutput&) = delete;

    /// Writes `line`, and then those that came before it, which waited for it.
    void write_first(std::string line);
    /// `line` has its end. One for which there is no room is dropped and counted.
    void write(std::string line);

  private:
    void enqueue(std::string_view line) REQUIRES(mutex_);
    void run();
    void write_out(std::string_view text);
    bool is_stopping();
    std::string take();

    const LostLine lost_line_;
    const int descriptor_;
    Mutex mutex_;
    ConditionVariable changed_;
    std::string queued_ GUARDED_BY(mutex_);
    std::string held_ GUARDED_BY(mutex_);
    std::uint64_t lost_ GUARDED_BY(mutex_) = 0;
    bool is_held_ GUARDED_BY(mutex_) = true;
    bool is_stopping_ GUARDED_BY(mutex_) = false;

    // The thread's.
    /// Lines that could not be written, of which no line says so yet, and why.
    std::uint64_t unwritten_ = 0;
    std::string trouble_;
    /// The end of what was written last is missing.
    bool is_cut_ = false;
    std::thread thread_;
};

}  // namespace sema
