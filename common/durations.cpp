#include "common/durations.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace sema {

Duration from_seconds(double seconds) {
    const double longest = std::chrono::duration<double>(longest_duration).count();
    if (seconds >= longest) return longest_duration;
    // A whole number of microseconds need not be one as a floating-point number of seconds: what is above it
    // by no more than that inexactness is that number.
    constexpr double inexactness = 4 * std::numeric_limits<double>::epsilon();
    return Duration(static_cast<Duration::rep>(std::ceil(seconds * 1e6 * (1 - inexactness))));
}

std::int64_t whole_seconds(Duration duration) {
    return std::chrono::floor<std::chrono::seconds>(duration).count();
}

Expected<Duration> parse_duration(std::string_view text) {
    const auto refuse = [&] {
        return failure("'" + std::string(text) + "' is not a duration: write 90, 1.5, 30s, 5m, 12h or 1d");
    };
    double number = 0;
    const auto [rest, status] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (status != std::errc() || !std::isfinite(number) || std::signbit(number)) return refuse();
    constexpr std::array<std::pair<std::string_view, double>, 6> units = {
        {{"", 1}, {"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}};
    const std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
    for (const auto& [name, seconds] : units) {
        if (unit == name) return from_seconds(number * seconds);
    }
    return refuse();
}

std::string describe(Duration duration) {
    auto left = std::chrono::round<std::chrono::seconds>(duration).count();
    constexpr std::array<std::pair<std::int64_t, char>, 4> units = {
        {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
    std::string text;
    int parts = 0;
    for (const auto& [seconds, name] : units) {
        if (parts > 0) ++parts;
        if (left >= seconds && parts <= 2) {
            if (!text.empty()) text += ' ';
            text += std::to_string(left / seconds) + name;
            left %= seconds;
            if (parts == 0) parts = 1;
        }
    }
    return text.empty() ? "0s" : text;
}

}  // namespace sema
