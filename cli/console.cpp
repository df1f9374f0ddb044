#include "cli/console.hpp"

#include "cli/bounded_write.hpp"
#include "cli/text_width.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// For a reader that is slow. A stopped command and its return have taken 7 s by now at most, and CI systems
// kill a job 7.5 s after they asked it to end.
constexpr auto last_patience = 500ms;
// No stderr that is read is ever this far behind with the few lines of semactl.
constexpr std::size_t most_unsaid = 65536;

// A mistyped UUID is nearly the secret itself, and so is half of one.
constexpr auto fewest_digits = 16;

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
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
    return digits >= fewest_digits && digits * 4 >= count(std::isalnum) * 3;
}

std::string without_uuids(std::string_view text) {
    std::string safe;
    while (!text.empty()) {
        const auto end = std::find_if_not(text.begin(), text.end(), is_word);
        const auto length = std::max<std::size_t>(1, static_cast<std::size_t>(end - text.begin()));
        const std::string_view word = text.substr(0, length);
        safe += resembles_uuid(word) ? "<UUID>" : word;
        text.remove_prefix(length);
    }
    return safe;
}

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

bool moves_cursor(int fd) {
    const char* terminal = std::getenv("TERM");
    return isatty(fd) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

TerminalSize size_of(int fd) {
    TerminalSize size;
    winsize found{};
    if (ioctl(fd, TIOCGWINSZ, &found) != 0) return size;
    if (found.ws_row > 0) size.rows = found.ws_row;
    if (found.ws_col > 0) size.columns = found.ws_col;
    return size;
}

// By the variables alone: a machine may lack the locale that they name, and its terminals show it all the
// same.
bool locale_is_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* const value = std::getenv(name);
        if (value != nullptr && *value != '\0')
            return strcasestr(value, "utf-8") != nullptr || strcasestr(value, "utf8") != nullptr;
    }
    return false;
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

std::string presentable(std::string_view text) {
    return without_uuids(printable(text));
}

Console::Console(Verbosity verbosity, Output output)
    : verbosity_(verbosity),
      output_(output),
      live_(verbosity != Verbosity::quiet && moves_cursor(STDERR_FILENO)),
      utf8_(locale_is_utf8()) {}

Console::~Console() {
    wipe_line();
    flush(last_patience);
}

std::string Console::in_locale(std::string text) const {
    return utf8_ ? std::move(text) : in_ascii(text);
}

void Console::error(std::string_view text) {
    say(text);
}

void Console::note(std::string_view text) {
    if (verbosity_ != Verbosity::quiet) say(text);
}

void Console::detail(std::string_view text) {
    if (verbosity_ == Verbosity::verbose) say(text);
}

// A full line would wrap, and then not be wiped whole.
std::size_t Console::live_columns() const {
    return size_of(STDERR_FILENO).columns - 1;
}

void Console::live(std::string_view text) {
    if (!live_) return;
    flush();
    // A line that counts is out of date by the time a stderr that lags behind takes it.
    if (!unsaid_.empty()) return;
    if (text.empty()) {
        wipe_line();
    } else {
        // The cursor goes back to the begin: there the echo of a key does not wrap the line.
        unsaid_ = "\r" + in_locale(cut_to(presentable(text), live_columns())) + "\x1b[K\r";
        line_shown_ = true;
    }
    flush();
}

void Console::say(std::string_view text) {
    if (unsaid_.size() < most_unsaid) {
        wipe_line();
        unsaid_ += "semactl: " + in_locale(presentable(text)) + "\n";
    }
    flush();
}

void Console::wipe_line() {
    if (line_shown_) unsaid_ += "\r\x1b[K";
    line_shown_ = false;
}

// In one piece where possible, so that the lines of several programs on one terminal stay whole.
void Console::flush(std::chrono::milliseconds patience) {
    if (unsaid_.empty()) return;
    if (const auto written = write_within(STDERR_FILENO, unsaid_, patience))
        unsaid_.erase(0, *written);
    else
        unsaid_.clear();
}

bool Console::print(std::string_view text) {
    return write_all(STDOUT_FILENO, text);
}

std::optional<TerminalSize> Console::terminal() const {
    if (!moves_cursor(STDOUT_FILENO)) return std::nullopt;
    return size_of(STDOUT_FILENO);
}

std::optional<std::size_t> Console::print_within(std::string_view text, std::chrono::milliseconds patience) {
    return write_within(STDOUT_FILENO, text, patience);
}

}  // namespace sema
