#include "common/numbers.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace sema {
namespace {

std::string describe(NumberRange range) {
    return "(" + std::to_string(range.least) + " to " + std::to_string(range.most) + ")";
}

bool has_sign(std::string_view text) {
    return !text.empty() && (text.front() == '+' || text.front() == '-');
}

// Nothing where it is too large for any range.
std::optional<std::int64_t> value_of(std::string_view text) {
    // The library knows no plus.
    if (text.front() == '+') text.remove_prefix(1);
    std::int64_t number = 0;
    const auto [rest, status] = std::from_chars(text.data(), text.data() + text.size(), number);
    return status == std::errc() ? std::optional(number) : std::nullopt;
}

Expected<std::int64_t> number_within(const std::string& text, NumberRange range) {
    const std::string_view digits = std::string_view(text).substr(has_sign(text) ? 1 : 0);
    const bool is_number = !digits.empty() && std::all_of(digits.begin(), digits.end(),
                                                          [](char c) { return c >= '0' && c <= '9'; });
    if (!is_number) return failure("'" + text + "' is not a whole number " + describe(range));
    const auto number = value_of(text);
    if (number && *number >= range.least && *number <= range.most) return *number;
    return failure(text + " is out of range " + describe(range));
}

}  // namespace

Expected<std::int64_t> parse_number(const std::string& text, NumberRange range) {
    if (text.empty() || text.front() != '+') return number_within(text, range);
    return failure("'" + text + "' is not a number without a sign " + describe(range));
}

Expected<std::int64_t> parse_signed(const std::string& text, NumberRange range) {
    return number_within(text, range);
}

}  // namespace sema
