#include "cli/console.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace sema {
namespace {

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

std::string printable(std::string_view text) {
    std::string safe(text);
    for (char& c : safe) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) c = ' ';
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

Console::Console(Verbosity verbosity, Output output)
    : verbosity_(verbosity), output_(output), live_(verbosity != Verbosity::quiet && shows_live_lines()) {}

Console::~Console() {
    live("");
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
    if (!live_ || (text.empty() && !line_shown_)) return;
    // One column stays free: a full line would wrap, and then not be wiped whole.
    write_all(STDERR_FILENO, "\r" + printable(text.substr(0, columns() - 1)) + "\x1b[K");
    line_shown_ = !text.empty();
}

void Console::say(std::string_view text) {
    live("");
    // In one piece, so that the lines of several programs on one terminal stay whole.
    write_all(STDERR_FILENO, "semactl: " + printable(text) + "\n");
}

bool Console::print(std::string_view text) {
    return write_all(STDOUT_FILENO, text);
}

}  // namespace sema
