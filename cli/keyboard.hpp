#pragma once

#include <termios.h>

#include <optional>

namespace sema {

/// The keys that are pressed on the terminal that stdin is: each as it is pressed, and not echoed. Those
/// that make signals go on doing so.
class Keyboard {
  public:
    /// Takes no keys yet. `other` is a descriptor that is waited for, too.
    explicit Keyboard(int other);
    /// Gives them back.
    ~Keyboard();
    Keyboard(const Keyboard&) = delete;
    Keyboard& operator=(const Keyboard&) = delete;

    /// From now on takes the keys, where stdin is a terminal and semactl's job in its foreground. To be
    /// called again whenever semactl was continued. REQUIRES: TTOU is blocked or ignored.
    void take();

    /// Gives the terminal back as it was, if the keys are taken.
    void give_back();

    /// Readable when a key was pressed, or `other` is readable.
    int fd() const { return either_ >= 0 ? either_ : other_; }

    /// The next key, if one was pressed. Does not block.
    std::optional<char> next();

  private:
    void forget();

    const int other_;
    int either_;
    bool taken_ = false;
    /// The terminal's modes before.
    termios saved_{};
};

}  // namespace sema
