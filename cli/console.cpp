#include "cli/console.hpp"

#include "cli/bounded_write.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>

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

// Nearly all of a UUID's letters and digits are hexadecimal, also where somebody mistyped some. Of long
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

std::string without_controls(std::string_view text) {
    std::string safe(text);
    for (std::size_t i = 0; i < safe.size(); ++i) {
        const auto byte = static_cast<unsigned char>(safe[i]);
        const auto next = static_cast<unsigned char>(i + 1 < safe.size() ? safe[i + 1] : 0);
        if (byte < 0x20 || byte == 0x7f) safe[i] = ' ';
        // In UTF-8, what some terminals take for an escape sequence's beginning.
        if (byte == 0xc2 && next >= 0x80 && next < 0xa0) safe.replace(i, 2, " ");
    }
    return safe;
}

bool shows_live_lines() {
    const char* terminal = std::getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

std::size_t columns() {
    winsize size{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

}  // namespace

std::string presentable(std::string_view text) {
    return without_uuids(without_controls(text));
}

Console::Console(Verbosity verbosity, Output output)
    : verbosity_(verbosity), output_(output), live_(verbosity != Verbosity::quiet && shows_live_lines()) {}

Console::~Console() {
    wipe_line();
    flush(last_patience);
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

void Console::live(std::string_view text) {
    if (!live_) return;
    flush();
    // A line that counts is out of date by the time a stderr that lags behind takes it.
    if (!unsaid_.empty()) return;
    if (text.empty()) {
        wipe_line();
    } else {
        // One column stays free: a full line would wrap, and then not be wiped whole.
        unsaid_ = "\r" + presentable(text).substr(0, columns() - 1) + "\x1b[K";
        line_shown_ = true;
    }
    flush();
}

void Console::say(std::string_view text) {
    if (unsaid_.size() < most_unsaid) {
        wipe_line();
        unsaid_ += "semactl: " + presentable(text) + "\n";
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

}  // namespace sema
