#pragma once

#include <sys/types.h>
#include <termios.h>

#include <optional>

namespace sema {

/// semactl's controlling terminal, where it has one.
class Terminal {
  public:
    Terminal();
    ~Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    /// The process group in the foreground; no group has the number -1.
    pid_t foreground() const;
    void give_to(pid_t group) const;

    std::optional<termios> modes() const;
    void set_modes(const termios& modes) const;

  private:
    int fd_;
};

/// The terminal's modes (see termios(3)) as they were before a command: a shell that waits for semactl takes
/// the modes that a killed command left for those that its user wants.
class SavedModes {
  public:
    /// Saves them, unless another job is in the foreground: then they are that one's.
    SavedModes();

    /// Puts them back, unless another job is in the foreground.
    /// REQUIRES: TTOU is blocked or ignored.
    void restore() const;

  private:
    std::optional<termios> modes_;
};

}  // namespace sema
