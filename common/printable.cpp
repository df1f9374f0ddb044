#include "common/printable.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace sema {
namespace {

// A mistyped UUID is nearly the secret itself, and so is half of one.
constexpr auto fewest_digits = 16;
constexpr std::size_t digits_of_uuid = 32;

// How many bytes of a control character stand here, in UTF-8; 0 where there is none.
std::size_t control_at(std::string_view text) {
    const auto byte = [text](std::size_t i) {
        return static_cast<unsigned char>(i < text.size() ? text[i] : 0);
    };
    if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
    // What some terminals take for an escape sequence's beginning.
    if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) < 0xa0) return 2;
    // U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069.
    if (byte(0) != 0xe2) return 0;
    const unsigned char last = byte(2);
    const bool control = byte(1) == 0x80 ? last == 0x8e || last == 0x8f || (last >= 0xa8 && last <= 0xae)
                                         : byte(1) == 0x81 && last >= 0xa6 && last <= 0xa9;
    return control ? 3 : 0;
}

bool is_word(char c) {
    return c == '-' || std::isalnum(static_cast<unsigned char>(c)) != 0;
}

// Nearly all of a UUID's letters and digits are hexadecimal, also where some are mistyped. Of long
// names with hyphens, much less are.
bool resembles_uuid(std::string_view word) {
    const auto count = [&](int (*is)(int)) {
        return std::count_if(word.begin(), word.end(),
                             [is](char c) { return is(static_cast<unsigned char>(c)) != 0; });
    };
    const auto digits = count(std::isxdigit);
    // A fence, or the greatest that one may be.
    const std::string_view number = word.substr(word.starts_with('-') ? 1 : 0);
    const bool is_number = number.find_first_not_of("0123456789") == number.npos;
    if (is_number && number.size() != digits_of_uuid) return false;
    return digits >= fewest_digits && digits * 4 >= count(std::isalnum) * 3;
}

std::string without_uuids(std::string_view text, const IsShown& is_shown) {
    std::string safe;
    while (!text.empty()) {
        const auto end = std::find_if_not(text.begin(), text.end(), is_word);
        const auto length = std::max<std::size_t>(1, static_cast<std::size_t>(end - text.begin()));
        const std::string_view word = text.substr(0, length);
        const bool is_hidden = resembles_uuid(word) && !(is_shown && is_shown(word));
        safe += is_hidden ? "<UUID>" : word;
        text.remove_prefix(length);
    }
    return safe;
}

}  // namespace

std::string printable(std::string_view text) {
    std::string safe;
    while (!text.empty()) {
        const std::size_t control = control_at(text);
        safe += control > 0 ? ' ' : text.front();
        text.remove_prefix(std::max<std::size_t>(control, 1));
    }
    return safe;
}

std::string presentable(std::string_view text, const IsShown& is_shown) {
    return without_uuids(printable(text), is_shown);
}

}  // namespace sema
