#pragma once

#include "cli/run/parent_watch.hpp"
#include "common/durations.hpp"

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace sema {

/// What a signal that was sent to semactl means for the command.
enum class Meaning {
    /// Nothing: CHLD, and those that stop and continue a job, which semactl itself has to follow.
    nothing,
    /// News for the command: USR1, USR2, WINCH, XCPU, ALRM, and the real-time ones.
    news,
    /// To stop: INT, TERM, HUP, QUIT.
    stop,
    /// Nothing, but by default it ends a process, and the command must stop before semactl does: ABRT, IO,
    /// XFSZ and the like.
    end,
};
Meaning meaning_of(int number);

/// Whether the signal ends semactl while it only waits. XCPU and ALRM do, since a limit on time is over.
bool ends_waiting(int number);

/// A signal that semactl got.
struct Signal {
    int number = 0;
    /// The kernel sent it for a terminal, as it does when a key is pressed: the whole process group got it
    /// too. Only a hang-up (HUP and CONT) is sent to the session's leader alone.
    bool from_kernel = false;
    /// The process that sent it, where it was not the kernel.
    pid_t sender = 0;
    /// A timer of this process sent it: see WakeUp.
    bool from_timer = false;
    /// It was not sent: the process that started semactl has ended.
    bool parent_is_gone = false;
};

/// timeout(1) and others signal a process, and right after that its whole group: one request that comes
/// twice. No user asks again this fast.
inline constexpr Duration same_request = std::chrono::milliseconds(30);

/// Takes the process's signals out of their usual way, so that they are read in an event loop, one by one
/// and with their sender. One object at a time; while it lives no other thread may be started.
///
/// Taken is every signal that can be and would do something, except for what was ignored when semactl was
/// started (as by nohup): that stays ignored. PIPE is ignored.
class Signals {
  public:
    /// The kernel's own set: bit N - 1 for signal N. A sigset_t leaves out what libc keeps to itself, and
    /// that ends a process too.
    using Mask = std::uint64_t;

    Signals();
    /// The signals stay blocked: one that comes while the process ends does not change how it ends.
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    /// From now on the end of the process that started semactl, which is `parent`, counts as a TERM, also
    /// where it has ended already. Throws std::runtime_error where that can't be noticed.
    void watch_parent(pid_t parent);
    /// From now on it does not: after a request to stop, it must not count as a second one.
    void forget_parent() { parent_.reset(); }

    /// Readable when next() has something.
    int fd() const { return either_ >= 0 ? either_ : fd_; }

    /// The next signal that came in, if any: first what asks to stop, and what stops or continues a job,
    /// which all others together cannot hold up. Doesn't block. CHLD is one of them, and may stand for
    /// several.
    std::optional<Signal> next();

    /// Those that came, and that next() has yet to return.
    Mask pending() const;

    /// Gives a new process, between fork and exec, the signal mask and dispositions that semactl was
    /// started with. Async-signal-safe.
    void restore_in_child() const;

    /// Does what a STOP, TSTP, TTIN or TTOU does by default: stops this process, until it is continued. Not
    /// where a CONT waits to be read, which came after the signal that asks for this. True where it was
    /// continued, and the CONT is to be read; false where it did not stop (in a group, as one example, that
    /// no shell looks after), or where CONT is ignored.
    bool stop_self(int number) const;

  private:
    struct Disposition {
        int number;
        struct sigaction action;
    };

    std::optional<Signal> read_from(int fd);

    int fd_ = -1;
    /// The same for those that come first.
    int urgent_ = -1;
    std::optional<ParentWatch> parent_;
    /// Readable when one of the two is.
    int either_ = -1;
    Mask original_mask_ = 0;
    std::vector<Disposition> originals_;
};

}  // namespace sema
