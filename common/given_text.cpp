#include "common/given_text.hpp"

#include <cstdlib>

namespace sema {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
// What copying from a web page leaves.
constexpr std::string_view no_break_space = "\xC2\xA0";
constexpr std::string_view blanks[] = {" ", "\t", "\n", "\v", "\f", "\r", byte_order_mark, no_break_space};

bool take_blank(std::string_view& text) {
    for (const std::string_view blank : blanks) {
        if (text.starts_with(blank)) {
            text.remove_prefix(blank.size());
            return true;
        }
        if (text.ends_with(blank)) {
            text.remove_suffix(blank.size());
            return true;
        }
    }
    return false;
}

}  // namespace

std::string_view without_blanks(std::string_view text) {
    while (take_blank(text)) {
    }
    return text;
}

std::string_view trimmed(std::string_view text) {
    text = without_blanks(text);
    const bool is_quoted =
        text.size() > 1 && text.front() == text.back() && (text.front() == '"' || text.front() == '\'');
    return is_quoted ? text.substr(1, text.size() - 2) : text;
}

std::string_view first_value(std::string_view text) {
    text = without_blanks(text);
    return trimmed(text.substr(0, text.find('\n')));
}

std::optional<std::string> environment_value(const std::string& name) {
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(trimmed(value));
}

}  // namespace sema
