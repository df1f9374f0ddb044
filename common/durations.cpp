#include "common/durations.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace sema {
namespace {

struct Unit {
    double seconds;
    std::array<std::string_view, 5> names;
};
constexpr std::array<Unit, 5> known_units = {{{0.001, {"ms"}},
                                              {1, {"s", "sec", "secs", "second", "seconds"}},
                                              {60, {"m", "min", "mins", "minute", "minutes"}},
                                              {3600, {"h", "hr", "hrs", "hour", "hours"}},
                                              {86400, {"d", "day", "days"}}}};

// 0 where there is no such unit.
double seconds_in(std::string_view name) {
    if (name.empty()) return 0;
    for (const Unit& unit : known_units) {
        if (std::find(unit.names.begin(), unit.names.end(), name) != unit.names.end()) return unit.seconds;
    }
    return 0;
}

}  // namespace

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
        return failure("'" + std::string(text) + "' is not a duration: write 90, 1.5, 30s, 5m, 1h30m or 1d");
    };
    double sum = 0;
    // A unit stands once, and behind larger ones: what is otherwise is mistyped.
    double last_unit = std::numeric_limits<double>::infinity();
    for (std::string_view rest = text;;) {
        double number = 0;
        const char* const end = rest.data() + rest.size();
        const auto [behind, status] = std::from_chars(rest.data(), end, number, std::chars_format::fixed);
        if (status != std::errc() || !std::isfinite(number) || std::signbit(number)) return refuse();
        const bool is_all = rest.size() == text.size() && behind == end;
        rest.remove_prefix(static_cast<std::size_t>(behind - rest.data()));
        const std::string_view name = rest.substr(0, rest.find_first_of(" .0123456789"));
        const double unit = is_all ? 1 : seconds_in(name);
        if (!(unit > 0 && unit < last_unit)) return refuse();
        sum += number * unit;
        last_unit = unit;
        rest.remove_prefix(name.size());
        if (rest.empty()) return from_seconds(sum);
        if (rest.front() == ' ') rest.remove_prefix(1);
    }
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
