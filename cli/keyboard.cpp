#include "cli/keyboard.hpp"

#include "cli/foreground.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace sema {
namespace {

void add(int set, int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

}  // namespace

// Where there is no descriptor left for it, keys are only noticed late.
Keyboard::Keyboard(int other) : other_(other), either_(epoll_create1(EPOLL_CLOEXEC)) {
    if (either_ >= 0) add(either_, other_);
}

Keyboard::~Keyboard() {
    give_back();
    if (either_ >= 0) close(either_);
}

void Keyboard::take() {
    if (!is_in_foreground(STDIN_FILENO)) return;
    // A shell that continues a job may have put modes of its own in their place.
    if (!taken_ && tcgetattr(STDIN_FILENO, &saved_) != 0) return;
    termios modes = saved_;
    modes.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    modes.c_cc[VMIN] = 0;
    modes.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &modes) != 0) return;
    if (!taken_ && either_ >= 0) add(either_, STDIN_FILENO);
    taken_ = true;
}

void Keyboard::give_back() {
    if (!taken_) return;
    if (is_in_foreground(STDIN_FILENO)) tcsetattr(STDIN_FILENO, TCSANOW, &saved_);
    forget();
}

std::optional<char> Keyboard::next() {
    if (!taken_) return std::nullopt;
    pollfd pressed{STDIN_FILENO, POLLIN, 0};
    if (poll(&pressed, 1, 0) <= 0) return std::nullopt;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) == 1) return key;
    // The terminal is gone, or another session's: it would be readable for ever.
    forget();
    return std::nullopt;
}

void Keyboard::forget() {
    taken_ = false;
    if (either_ >= 0) epoll_ctl(either_, EPOLL_CTL_DEL, STDIN_FILENO, nullptr);
}

}  // namespace sema
