#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace sema::shared {

/// All of the text, or nothing.
template <class Number>
std::optional<Number> parse_number(std::string_view text, int base = 10) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// 16 digits.
inline std::string hex(std::uint64_t number) {
    char digits[16];
    const std::string text(digits, std::to_chars(digits, digits + sizeof digits, number, 16).ptr);
    return std::string(sizeof digits - text.size(), '0').append(text);
}

}  // namespace sema::shared
