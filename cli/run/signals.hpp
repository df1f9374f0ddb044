#pragma once

#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <vector>

namespace sema {

/// A signal that semactl got.
struct Signal {
    int number = 0;
    /// The kernel sent it, as it does for a key pressed at the terminal: the whole process group got it
    /// too. Only of a hang-up (HUP and CONT) it tells a session's leader alone.
    bool from_kernel = false;
    /// Who sent it, where it was not the kernel.
    pid_t sender = 0;
};

/// Takes the process's signals out of their usual way, so that they are read in an event loop, one by one
/// and with their sender. One object at a time; while it lives no other thread may be started.
///
/// Taken are INT, TERM, HUP, QUIT, USR1, USR2, CONT, WINCH, TSTP, TTIN, TTOU and CHLD, except for what was
/// ignored when semactl was started (as by nohup): that stays ignored. PIPE is ignored.
class Signals {
  public:
    Signals();
    /// The signals stay blocked: one that comes while the process ends does not change how it ends.
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    /// Readable when next() has something.
    int fd() const { return fd_; }

    /// The next signal that came in, if any. Doesn't block. CHLD is one of them, and may stand for several.
    std::optional<Signal> next();

    /// Gives a new process, between fork and exec, the signal mask and dispositions that semactl was
    /// started with. Async-signal-safe.
    void restore_in_child() const;

    /// Does what a TSTP, TTIN or TTOU does to a process that doesn't care: stops it, until somebody
    /// continues it.
    void stop_self(int number) const;

  private:
    struct Disposition {
        int number;
        struct sigaction action;
    };

    int fd_ = -1;
    sigset_t taken_{};
    sigset_t original_mask_{};
    std::vector<Disposition> originals_;
};

}  // namespace sema
