#include "common/deep_key.hpp"

#include <algorithm>

namespace sema {
namespace {

// How long the text in quotes is that stands at the front. One without an end ends with its line, or with the
// text where it may have several: it is an error there.
std::size_t quoted_size(std::string_view text) {
    const char quote = text.front();
    const bool has_escapes = quote == '"';
    const bool is_long = text.size() >= 3 && text[1] == quote && text[2] == quote;
    const std::string_view end = text.substr(0, is_long ? 3 : 1);
    std::size_t at = end.size();
    while (at < text.size() && !text.substr(at).starts_with(end)) {
        if (!is_long && text[at] == '\n') return at;
        at += has_escapes && text[at] == '\\' && text.substr(at + 1, 1) != "\n" ? 2 : 1;
    }
    at = std::min(at + end.size(), text.size());
    // Up to two more belong to a long text.
    for (int i = 0; is_long && i < 2 && at < text.size() && text[at] == quote; ++i)
        ++at;
    return at;
}

}  // namespace

std::optional<std::size_t> line_of_deep_key(std::string_view toml) {
    std::size_t line = 1;
    std::size_t dots = 0;
    while (!toml.empty()) {
        const char c = toml.front();
        std::size_t size = 1;
        if (c == '"' || c == '\'') {
            size = quoted_size(toml);
        } else if (c == '#') {
            size = std::min(toml.find('\n'), toml.size());
        } else if (c == '.') {
            if (++dots == most_key_parts) return line;
        } else if (std::string_view("\n=,[]{}").find(c) != std::string_view::npos) {
            dots = 0;
        }
        const std::string_view taken = toml.substr(0, size);
        line += static_cast<std::size_t>(std::count(taken.begin(), taken.end(), '\n'));
        toml.remove_prefix(size);
    }
    return std::nullopt;
}

}  // namespace sema
