#include "cli/text_width.hpp"

#include <algorithm>
#include <array>

namespace sema {
namespace {

struct Range {
    char32_t first;
    char32_t last;
};

// The blocks that matter in names; what is missing only makes a column look uneven.
constexpr std::array<Range, 5> without_width = {
    {{0x300, 0x36f}, {0x200b, 0x200d}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}}};
// A flag is two letters of 0x1f1e6 and up, with one column each.
constexpr std::array<Range, 47> wide = {
    {{0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x23f0, 0x23f0},   {0x23f3, 0x23f3},
     {0x25fd, 0x25fe},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267f, 0x267f},   {0x2693, 0x2693},
     {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},   {0x26ce, 0x26ce},
     {0x26d4, 0x26d4},   {0x26ea, 0x26ea},   {0x26f2, 0x26f3},   {0x26f5, 0x26f5},   {0x26fa, 0x26fa},
     {0x26fd, 0x26fd},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},   {0x274c, 0x274c},
     {0x274e, 0x274e},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},   {0x27b0, 0x27b0},
     {0x27bf, 0x27bf},   {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},   {0x2b55, 0x2b55},   {0x2e80, 0xa4cf},
     {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
     {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a}, {0x1f200, 0x1f2ff},
     {0x1f300, 0x1faff}, {0x20000, 0x3fffd}}};

template <class Ranges>
bool has(const Ranges& ranges, char32_t character) {
    return std::any_of(ranges.begin(), ranges.end(), [character](const Range& range) {
        return range.first <= character && character <= range.last;
    });
}

bool continues(char byte) {
    return (byte & 0xC0) == 0x80;
}

// How many bytes the first character has.
std::size_t length_of_first(std::string_view text) {
    std::size_t length = 1;
    while (length < text.size() && length < 4 && continues(text[length]))
        ++length;
    return length;
}

std::size_t width_of_first(std::string_view text) {
    const std::size_t length = length_of_first(text);
    const auto lead = static_cast<unsigned char>(text.front());
    constexpr std::array<unsigned, 5> lead_bits = {0, 0x7f, 0x1f, 0x0f, 0x07};
    char32_t character = lead & lead_bits[length];
    for (std::size_t i = 1; i < length; ++i)
        character = character << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
    if (has(without_width, character)) return 0;
    return has(wide, character) ? 2 : 1;
}

}  // namespace

std::size_t width_of(std::string_view text) {
    std::size_t width = 0;
    for (; !text.empty(); text.remove_prefix(length_of_first(text)))
        width += width_of_first(text);
    return width;
}

std::string cut_to(std::string_view text, std::size_t columns) {
    if (width_of(text) <= columns) return std::string(text);
    if (columns == 0) return "";
    std::size_t width = 1;
    std::size_t end = 0;
    while (width + width_of_first(text.substr(end)) <= columns) {
        width += width_of_first(text.substr(end));
        end += length_of_first(text.substr(end));
    }
    return std::string(text.substr(0, end)) + "\u2026";
}

std::string in_ascii(std::string_view text) {
    std::string ascii;
    while (!text.empty()) {
        const std::string_view first = text.substr(0, length_of_first(text));
        if (first == "\u2026")
            ascii += '+';
        else if (first == "\u00b7")
            ascii += '|';
        else if (static_cast<unsigned char>(first.front()) < 0x80)
            ascii += first.front();
        else
            ascii.append(width_of_first(first), '?');
        text.remove_prefix(first.size());
    }
    return ascii;
}

}  // namespace sema
