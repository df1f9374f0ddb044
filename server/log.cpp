#include "server/log.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdio>
#include <ctime>

namespace sema {
namespace {

std::string utc_time() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

Log::Log(LogFormat format, const std::string& level)
    : format_(format),
      logger_(std::make_shared<spdlog::logger>("semad", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
    logger_->set_level(spdlog::level::from_str(level));
    logger_->set_pattern(format == LogFormat::json ? "%v" : "%Y-%m-%d %H:%M:%S.%e %l: %v");
    logger_->flush_on(spdlog::level::debug);
}

void Log::error(const std::string& message) const {
    write(spdlog::level::err, "error", message);
}

void Log::warn(const std::string& message) const {
    write(spdlog::level::warn, "warn", message);
}

void Log::info(const std::string& message) const {
    write(spdlog::level::info, "info", message);
}

void Log::notice(const std::string& message) const {
    const std::string line = (format_ == LogFormat::json ? json("info", message) : message) + "\n";
    std::fputs(line.c_str(), stderr);
}

std::string Log::json(const char* level, const std::string& message) const {
    const nlohmann::ordered_json line = {{"time", utc_time()}, {"level", level}, {"message", message}};
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void Log::write(int level, const char* name, const std::string& message) const {
    const auto spdlog_level = static_cast<spdlog::level::level_enum>(level);
    logger_->log(spdlog_level, "{}", format_ == LogFormat::json ? json(name, message) : message);
}

}  // namespace sema
