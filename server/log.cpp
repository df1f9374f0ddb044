#include "server/log.hpp"

#include "common/printable.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <array>
#include <ctime>
#include <mutex>

namespace sema {
namespace {

std::string utc_time() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

class Sink final : public spdlog::sinks::base_sink<std::mutex> {
  public:
    explicit Sink(std::shared_ptr<LogOutput> output) : output_(std::move(output)) {}

  private:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        output_->write({line.data(), line.size()});
    }
    void flush_() override {}

    const std::shared_ptr<LogOutput> output_;
};

std::string json(const char* level, const std::string& message) {
    const nlohmann::ordered_json line = {{"time", utc_time()}, {"level", level}, {"message", message}};
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string lost_text(std::uint64_t lines, const std::string& why) {
    return std::to_string(lines) + (lines == 1 ? " line" : " lines") + " of the log were lost, since " + why;
}

}  // namespace

Log::Log(LogFormat format, const std::string& level)
    : format_(format),
      output_(std::make_shared<LogOutput>([this](std::uint64_t lines, const std::string& why) {
          const std::string text = lost_text(lines, why);
          return (format_ == LogFormat::json ? json("warn", text) : "semad: " + text) + "\n";
      })),
      logger_(std::make_shared<spdlog::logger>("semad", std::make_shared<Sink>(output_))) {
    set(format, level);
}

void Log::set(LogFormat format, const std::string& level) {
    format_ = format;
    logger_->set_level(spdlog::level::from_str(level));
    logger_->set_pattern(format == LogFormat::json ? "%v" : "%Y-%m-%d %H:%M:%S.%e %l: %v");
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
    output_->write_first((format_ == LogFormat::json ? json("info", message) : printable(message)) + "\n");
}

void Log::write(int level, const char* name, const std::string& message) const {
    const auto spdlog_level = static_cast<spdlog::level::level_enum>(level);
    logger_->log(spdlog_level, "{}", format_ == LogFormat::json ? json(name, message) : printable(message));
}

}  // namespace sema
