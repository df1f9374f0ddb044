#pragma once

#include "cli/run/signals.hpp"
#include "client/boot_clock.hpp"

#include <sys/types.h>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

namespace sema {

/// The descriptors that semactl was started with and that a program started in its place would get: all
/// that are open now and not marked close-on-exec. To be taken before semactl opens any of its own.
class InheritedDescriptors {
  public:
    /// Also fills in for a missing stdin, stdout or stderr, lest another file gets its number: with one on
    /// which to read or write fails, as it would without. The child still gets it missing.
    InheritedDescriptors();

    /// Lets exactly these, of all that are open, through the coming exec. Async-signal-safe.
    void pass_to_child() const;

    /// False where only the first three could be seen.
    bool all_known() const { return all_known_; }

  private:
    std::vector<int> descriptors_;
    bool all_known_ = false;
};

struct ChildSpec {
    /// The file to execute.
    std::string path;
    /// Its arguments, its own name as the first.
    std::vector<std::string> arguments;
    /// Entries of the form NAME=VALUE.
    std::vector<std::string> environment;
};

/// A process that was started to execute a program. It waits, with the signals blocked that semactl has
/// blocked, until it is let go; where that is not done before this object or semactl is gone, it ends itself.
class StartedChild {
  public:
    /// The errno of a start whose time was over.
    static constexpr int too_late = ETIME;

    /// `report` is the reading end of a pipe that says how the exec went, `hold` the writing end of one that
    /// the process waits for.
    StartedChild(pid_t pid, int report, int hold) : pid_(pid), report_(report), hold_(hold) {}
    ~StartedChild();
    StartedChild(StartedChild&& other) noexcept;
    StartedChild& operator=(StartedChild&&) = delete;

    pid_t pid() const { return pid_; }

    /// Has it go on to the exec. Once.
    void let_go();

    /// Readable when the exec is over; -1 once that was taken in.
    int fd() const { return report_; }
    /// Takes in how the exec went, where it is over. Doesn't block.
    void proceed();
    /// Why the file could not be executed, an errno. None while that may yet come, and where it was executed.
    /// The process ends at once then.
    std::optional<int> failure() const { return failure_; }

  private:
    pid_t pid_;
    int report_;
    int hold_;
    std::optional<int> failure_;
};

/// Starts a process that executes the program: a file on a disk that hangs takes its time for that, in which
/// the process can be signalled as the program itself. It gets what it would have if it had been started in
/// semactl's place: descriptors, terminal, session, process group, working directory, signal mask and
/// dispositions. It gets a TERM should semactl die without having stopped it. From the moment `too_late` on
/// nothing is executed any more.
/// Throws std::system_error where the system has no room for another process: never once there is one.
StartedChild start_child(const ChildSpec& spec, const Signals& signals,
                         const InheritedDescriptors& descriptors, Moment too_late = Moment::max());

}  // namespace sema
