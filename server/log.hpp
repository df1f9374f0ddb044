#pragma once

#include "server/log_output.hpp"
#include "server/options.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <utility>

namespace spdlog {
class logger;
}

namespace sema {

/// The log on stderr: lines of text, or one JSON object each (`time`, `level`, `message`). Nobody waits until
/// a line is written. Thread-safe.
/// No pool's or lease's UUID goes into it. Of a message that has control characters, text has spaces there.
class Log {
  public:
    /// REQUIRES: `level` is one of --log-level's values.
    Log(LogFormat format, const std::string& level);

    /// Likewise, from now on.
    void set(LogFormat format, const std::string& level);

    void error(const std::string& message) const;
    void warn(const std::string& message) const;
    void info(const std::string& message) const;
    /// Printed whatever the level, and as text without time and level, and before all that was said until
    /// then.
    void notice(const std::string& message) const;

    /// A line with its end, as it is.
    void write_line(std::string line) const { output_->write(std::move(line)); }

  private:
    void write(int level, const char* name, const std::string& message) const;

    std::atomic<LogFormat> format_;
    const std::shared_ptr<LogOutput> output_;
    std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace sema
