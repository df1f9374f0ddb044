#include "common/waiter_id.hpp"

#include <charconv>
#include <cstddef>
#include <system_error>

namespace sema {
namespace {

constexpr std::size_t waiter_digits = 16;

}  // namespace

std::string waiter_text(std::uint64_t waiter) {
    std::string text(waiter_digits, '0');
    for (auto digit = text.rbegin(); digit != text.rend(); ++digit, waiter >>= 4)
        *digit = "0123456789abcdef"[waiter & 0xf];
    return text;
}

std::optional<std::uint64_t> parse_waiter(std::string_view text) {
    std::uint64_t waiter = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), waiter, 16);
    const bool is_whole =
        status == std::errc() && end == text.data() + text.size() && text.size() == waiter_digits;
    return is_whole ? std::optional(waiter) : std::nullopt;
}

}  // namespace sema
