#pragma once

#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace sema::test {

/// A terminal, from the side of the person who types.
class Terminal {
  public:
    Terminal() {
        int other = -1;
        char name[64];
        REQUIRE(openpty(&keyboard_, &other, name, nullptr, nullptr) == 0);
        fcntl(keyboard_, F_SETFD, FD_CLOEXEC);
        fcntl(keyboard_, F_SETFL, O_NONBLOCK);
        name_ = name;
        // Kept open, so that the terminal lives on when no program has it.
        other_ = other;
        fcntl(other_, F_SETFD, FD_CLOEXEC);
    }
    ~Terminal() {
        close(keyboard_);
        close(other_);
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    const std::string& name() const { return name_; }
    void type(char key) const { type(std::string(1, key)); }
    void type(const std::string& keys) const {
        REQUIRE(write(keyboard_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
    }
    /// As a window that is closed, or a connection that is lost.
    void hang_up() {
        close(std::exchange(keyboard_, -1));
        close(std::exchange(other_, -1));
    }
    void resize(unsigned short rows, unsigned short columns) const {
        const winsize size{rows, columns, 0, 0};
        REQUIRE(ioctl(keyboard_, TIOCSWINSZ, &size) == 0);
    }
    /// Takes nothing more that programs write, as after a Ctrl-S, or does again.
    void hold() const { REQUIRE(tcflow(other_, TCOOFF) == 0); }
    void go_on() const { REQUIRE(tcflow(other_, TCOON) == 0); }
    /// Whether it shows what is typed, as it does unless a program keeps it from that.
    bool echoes() const {
        termios modes{};
        REQUIRE(tcgetattr(other_, &modes) == 0);
        return (modes.c_lflag & ECHO) != 0;
    }
    /// The process group in its foreground.
    pid_t foreground() const { return tcgetpgrp(keyboard_); }
    bool shows(const std::string& text) {
        return eventually([&] { return screen().find(text) != std::string::npos; });
    }
    /// All that was ever written to it.
    const std::string& screen() {
        char bytes[4096];
        for (ssize_t size = 0; (size = read(keyboard_, bytes, sizeof bytes)) > 0;)
            screen_.append(bytes, static_cast<std::size_t>(size));
        return screen_;
    }

  private:
    int keyboard_ = -1;
    int other_ = -1;
    std::string name_;
    std::string screen_;
};

inline constexpr char ctrl_c = 3;
inline constexpr char ctrl_s = 19;
inline constexpr char ctrl_z = 26;

}  // namespace sema::test
