#pragma once

#include "cli/run/proc_folder.hpp"
#include "client/boot_clock.hpp"

#include <sys/types.h>

#include <optional>

namespace sema {

/// A process of semactl's that is in its process group and does nothing about any signal, named
/// `slot-bystander`. It knows three things that semactl can't:
///
/// - Whether a signal was sent to the whole group. What came to semactl alone, the command has yet to get.
/// - That time passes, while semactl is stopped.
/// - That semactl is gone without having ended its command.
///
/// A group's signals come to the youngest processes first, so that the bystander has got one by the time
/// semactl has. Where there is no room for another process, there is no bystander.
class Bystander {
  public:
    /// Starts it. REQUIRES: the signals that it will be asked about are blocked; `proc` outlives it.
    explicit Bystander(const ProcFolder& proc);
    /// Ends it.
    ~Bystander();
    Bystander(const Bystander&) = delete;
    Bystander& operator=(const Bystander&) = delete;

    /// -1 where there is none. One that was ended and is not collected yet has it still.
    pid_t pid() const { return pid_; }

    /// Whether it got the signal after `since`, beside those that it has reported, or gets it in the next
    /// moment: one that is sent to each process of the group in turn comes to all that soon. None where it
    /// can't be asked, or has no turn on a processor before `latest`.
    std::optional<bool> got(int signal, Moment since, Moment latest);

    /// As long as a signal that is sent to several processes in turn takes to come to all.
    static constexpr Duration in_turn = std::chrono::milliseconds(20);

    /// Readable when it got a signal; -1 where there is no bystander.
    int fd() const { return socket_; }
    /// Whether it got any since the last call.
    bool heard();

    /// Sends semactl a CONT at that moment, and again until this is taken back with BootClock::never.
    void wake_at(Moment moment);

    /// Has it send that process, a child of semactl's, a TERM should semactl be killed: the kernel sends none
    /// to a process that has changed its user. As far as its own user may. Where the process may be stopping
    /// since it got the kernel's, only after `kill_after`, if ever.
    void watch_over(pid_t command, std::optional<Duration> kill_after);

    /// Kills it. Does not wait for long where its status is not to be had.
    void end();
    /// Its status was collected elsewhere.
    void was_reaped();

  private:
    /// Whether it is there and neither stopped nor traced.
    bool answers_yet() const;

    const ProcFolder& proc_;
    pid_t pid_ = -1;
    int socket_ = -1;
    bool heard_ = false;
    bool is_ending_ = false;
};

}  // namespace sema
