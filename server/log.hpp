#pragma once

#include "server/options.hpp"

#include <memory>
#include <string>

namespace spdlog {
class logger;
}

namespace sema {

/// The log on stderr: lines of text, or one JSON object each (`time`, `level`, `message`). Thread-safe.
/// No pool's or lease's UUID goes into it.
class Log {
  public:
    /// REQUIRES: `level` is one of --log-level's values.
    Log(LogFormat format, const std::string& level);

    void error(const std::string& message) const;
    void warn(const std::string& message) const;
    void info(const std::string& message) const;
    /// Printed whatever the level, and as text without time and level.
    void notice(const std::string& message) const;

  private:
    std::string json(const char* level, const std::string& message) const;
    void write(int level, const char* name, const std::string& message) const;

    const LogFormat format_;
    std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace sema
