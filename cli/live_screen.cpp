#include "cli/live_screen.hpp"

#include <utility>

namespace sema {
namespace {

// Without a cursor that flickers, and without lines that wrap where a character is wider than was thought.
constexpr const char* take = "\x1b[?25l\x1b[?7l";
constexpr const char* give_back = "\x1b[?7h\x1b[?25h";
// Both before a line is written: behind one that fills its row, the cursor stands on its last character.
constexpr const char* erase_line = "\x1b[K";
constexpr const char* erase_below = "\x1b[J";

std::string to_first_of(std::size_t lines) {
    return lines > 1 ? "\r\x1b[" + std::to_string(lines - 1) + "A" : "\r";
}

}  // namespace

std::string LiveScreen::draw(const std::vector<std::string>& lines) {
    std::string text = std::exchange(taken_, true) ? "" : take;
    text += to_first_of(shown_);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const bool is_last = i + 1 == lines.size();
        text.append(i > 0 ? "\r\n" : "").append(is_last ? erase_below : erase_line).append(lines[i]);
    }
    shown_ = lines.size();
    return text;
}

std::string LiveScreen::wipe() {
    const std::size_t lines = std::exchange(shown_, 0);
    return lines > 0 ? to_first_of(lines) + erase_below : "";
}

std::string LiveScreen::wipe_all() {
    shown_ = 0;
    return taken_ ? "\x1b[H\x1b[2J" : "";
}

std::string LiveScreen::leave() {
    const bool any = std::exchange(shown_, 0) > 0;
    return std::exchange(taken_, false) ? std::string(any ? "\r\n" : "") + give_back : "";
}

}  // namespace sema
