#pragma once

#include "cli/run/proc_folder.hpp"

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sema {

/// A process as /proc showed it. A pid is used again after its process ended; together with the moment the
/// process started it names one process for good.
struct Process {
    pid_t pid = 0;
    pid_t parent = 0;
    std::uint64_t started = 0;
    std::string name;
    /// R, S, D, T, Z, ... as proc(5) has it.
    char state = '?';
    int threads = 0;

    /// A process whose first thread has ended shows as dead (Z) while its other threads run.
    bool has_ended() const { return state == 'Z' && threads <= 1; }
};

/// The process, if there is one of that pid.
std::optional<Process> find_process(pid_t pid, const ProcFolder& proc);

/// The signals that the process has got and that wait to be taken by it: bit N - 1 for signal N. None where
/// /proc does not show that.
std::optional<std::uint64_t> pending_signals(pid_t pid, const ProcFolder& proc);

struct Descendants {
    std::vector<Process> found;
    /// Those are all. Not where a file could not be opened, or where the system hides some processes from us.
    bool complete = true;
};

/// All descendants of `root`, except for the processes in `without` and the descendants of these. The dead
/// that have not been collected yet are among them.
Descendants descendants(pid_t root, const std::vector<Process>& without, const ProcFolder& proc);

/// Adds to the family what descends from its members now, and takes out those that are gone.
void follow(std::vector<Process>& family, const ProcFolder& proc);

/// Finds the children of this process where a tree cannot be looked at any more: that takes neither a
/// descriptor nor memory. Some kernels do not have it.
class OwnChildren {
  public:
    explicit OwnChildren(const ProcFolder& proc);
    ~OwnChildren();
    OwnChildren(const OwnChildren&) = delete;
    OwnChildren& operator=(const OwnChildren&) = delete;

    /// Finds those that are there now, the first several hundred of them.
    void look();
    /// The pid of the next one that was found; 0 where there is none.
    pid_t next();

  private:
    int file_;
    std::array<char, 4096> text_;
    std::string_view rest_;
};

/// Whether `pid` descends from `root`.
bool is_descendant(pid_t pid, pid_t root, const ProcFolder& proc);

/// Sends a signal to exactly this process, and to none that has its pid by now. False where that is not
/// allowed; a process that has ended is not a failure.
bool send_signal(const Process& process, int signal, const ProcFolder& proc);

}  // namespace sema
