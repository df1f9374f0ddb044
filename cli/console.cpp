#include "cli/console.hpp"

#include "cli/bounded_write.hpp"
#include "cli/foreground.hpp"
#include "cli/text_width.hpp"

#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// For a reader that is slow; and where the time is up.
constexpr auto usual_patience = 500ms;
constexpr auto least_patience = 100ms;
// No stderr that is read is ever this far behind with the few lines of semactl.
constexpr std::size_t most_unsaid = 65536;

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
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

std::string json_line(std::string_view json) {
    std::string line;
    line.reserve(json.size() + 1);
    while (!json.empty()) {
        const auto second = json.size() > 1 ? static_cast<unsigned char>(json[1]) : 0U;
        const bool is_control = json.front() == '\xc2' && second >= 0x80 && second < 0xa0;
        if (is_control) {
            std::array<char, 8> escape{};
            std::snprintf(escape.data(), escape.size(), "\\u%04x", second);
            line += escape.data();
        } else {
            line += json.front();
        }
        json.remove_prefix(is_control ? 2 : 1);
    }
    return line += '\n';
}

Console::Console(Verbosity verbosity, Output output)
    : verbosity_(verbosity),
      output_(output),
      may_be_live_(verbosity != Verbosity::quiet && moves_cursor(STDERR_FILENO)),
      utf8_(locale_is_utf8()) {}

Console::~Console() {
    wipe_line();
    const std::chrono::milliseconds patience = last_patience();
    flush(patience);
    if (writer_) writer_->wait_at_end(patience);
}

std::chrono::milliseconds Console::last_patience() const {
    if (!end_) return usual_patience;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*end_ - BootClock::now());
    return std::clamp<std::chrono::milliseconds>(left, least_patience, usual_patience);
}

std::string Console::in_locale(std::string text) const {
    return utf8_ ? std::move(text) : in_ascii(text);
}

void Console::write_apart() {
    if (!writer_ && ApartWriter::is_needed_for(STDERR_FILENO)) writer_.emplace(STDERR_FILENO);
}

void Console::show(IsShown is_shown) {
    is_shown_ = std::move(is_shown);
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

bool Console::can_ask() const {
    return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

bool Console::is_confirmed(std::string_view question) {
    wipe_line();
    unsaid_ += "semactl: " + in_locale(presentable(question)) + " [y/N] ";
    flush(usual_patience);
    std::string answer;
    for (int next = std::getchar(); next != EOF && next != '\n'; next = std::getchar())
        answer += static_cast<char>(next);
    return strcasecmp(answer.c_str(), "y") == 0 || strcasecmp(answer.c_str(), "yes") == 0;
}

bool Console::is_live() const {
    return may_be_live_ && !is_in_background(STDERR_FILENO);
}

// A full line would wrap, and then not be wiped whole.
std::size_t Console::live_columns() const {
    return size_of(STDERR_FILENO).columns - 1;
}

void Console::live(std::string_view text) {
    if (!is_live()) return;
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
        unsaid_ += "semactl: " + in_locale(presentable(text, is_shown_)) + "\n";
    }
    flush();
}

// Not in the background: what is on that row since then is others'.
void Console::wipe_line() {
    if (line_shown_ && is_live()) unsaid_ += "\r\x1b[K";
    line_shown_ = false;
}

// In one piece where possible, so that the lines of several programs on one terminal stay whole.
void Console::flush(std::chrono::milliseconds patience) {
    if (unsaid_.empty() || (pauses_ > 0 && writer_)) return;
    // Where there is no room for that process, a disk that hangs is less likely than a user who is to know.
    if (writer_ && writer_->start())
        unsaid_.erase(0, writer_->write(unsaid_));
    else if (const auto written = write_within(STDERR_FILENO, unsaid_, patience))
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
