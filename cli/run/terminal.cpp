#include "cli/run/terminal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace sema {

// Without waiting for the carrier of a serial line.
Terminal::Terminal() : fd_(open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) {}

Terminal::~Terminal() {
    if (fd_ >= 0) close(fd_);
}

pid_t Terminal::foreground() const {
    return fd_ >= 0 ? tcgetpgrp(fd_) : -1;
}

void Terminal::give_to(pid_t group) const {
    tcsetpgrp(fd_, group);
}

std::optional<termios> Terminal::modes() const {
    termios modes{};
    if (fd_ < 0 || tcgetattr(fd_, &modes) != 0) return std::nullopt;
    return modes;
}

void Terminal::set_modes(const termios& modes) const {
    // Not once the output is written: a terminal that was stopped with Ctrl-S takes none.
    tcsetattr(fd_, TCSANOW, &modes);
}

SavedModes::SavedModes() {
    const Terminal terminal;
    if (terminal.foreground() == getpgrp()) modes_ = terminal.modes();
}

void SavedModes::restore() const {
    if (!modes_) return;
    const Terminal terminal;
    const pid_t group = terminal.foreground();
    if (group != getpgrp()) {
        // A shell's job that was killed with the shell leaves no process that would take the terminal back.
        if (group <= 0 || kill(-group, 0) == 0 || errno != ESRCH) return;
        terminal.give_to(getpgrp());
    }
    terminal.set_modes(*modes_);
}

}  // namespace sema
