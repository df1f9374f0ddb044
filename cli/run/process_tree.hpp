#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
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
};

/// The process, if there is one of that pid.
std::optional<Process> find_process(pid_t pid, const std::string& proc = "/proc");

/// Why /proc cannot show the descendants of this process, for people; none where it can. It does where it
/// shows this process as itself: that of another pid namespace shows other processes under the same numbers.
std::optional<std::string> why_not_shown(const std::string& proc = "/proc");

struct Descendants {
    std::vector<Process> found;
    /// Those are all. Not where a file could not be opened, or where the system hides some processes from us.
    bool complete = true;
};

/// All descendants of `root`, except for the processes in `without` and the descendants of these. The dead
/// that have not been collected yet are among them (state Z): a process whose first thread ended looks the
/// same while its other threads run.
Descendants descendants(pid_t root, const std::vector<Process>& without, const std::string& proc = "/proc");

/// Whether `pid` descends from `root`.
bool is_descendant(pid_t pid, pid_t root, const std::string& proc = "/proc");

/// Sends a signal to exactly this process, and to none that has its pid by now. False where that is not
/// allowed; a process that has ended is not a failure.
bool send_signal(const Process& process, int signal);

}  // namespace sema
