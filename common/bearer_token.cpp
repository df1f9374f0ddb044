#include "common/bearer_token.hpp"

#include <algorithm>

namespace sema {
namespace {

constexpr std::size_t longest_token = 4096;

bool is_token_char(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~+/").find(c) != std::string_view::npos;
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool is_bearer_token(std::string_view text) {
    const auto padding = std::find_if_not(text.begin(), text.end(), is_token_char);
    return padding != text.begin() && text.size() <= longest_token &&
           std::all_of(padding, text.end(), [](char c) { return c == '='; });
}

std::optional<std::string_view> bearer_token(std::string_view value) {
    constexpr std::string_view scheme = "bearer ";
    const std::string_view beginning = value.substr(0, scheme.size());
    const auto same = [](char a, char b) { return a == lower(b); };
    if (!std::equal(scheme.begin(), scheme.end(), beginning.begin(), beginning.end(), same))
        return std::nullopt;
    value.remove_prefix(scheme.size());
    // RFC 9110, section 11.4: one space or several.
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    return is_bearer_token(value) ? std::optional(value) : std::nullopt;
}

}  // namespace sema
