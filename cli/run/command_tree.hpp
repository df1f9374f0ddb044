#pragma once

#include "cli/run/process_tree.hpp"
#include "client/boot_clock.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sema {

class Bystander;
class Console;

/// The descendants that this process has. Throws std::runtime_error where not all can be seen.
std::vector<Process> own_descendants(const ProcFolder& proc);

/// Whether it is called what another run of semactl is, which is "a run" here.
bool is_run(pid_t pid, const ProcFolder& proc);

/// All that a command has started: the descendants of semactl, which adopts the orphans among them, without
/// those that it has for itself (the bystander, and the writer of messages) and without strangers.
class CommandTree {
  public:
    /// `strangers` are descendants that semactl had before the command: none of ours, nor is what they start.
    CommandTree(const ProcFolder& proc, const Bystander& bystander, Console& console,
                std::vector<Process> strangers);

    /// The command's pid, from its start until its end is collected; 0 while there is none.
    void set_command(pid_t command) { command_ = command; }
    /// A process that does not count, nor does what it starts, as long as it is named here.
    void set_apart(const std::optional<Process>& process) { apart_ = process; }

    /// Is to be called at next_look(), and may be at any time: what strangers start is theirs only where they
    /// were looked at before they ended.
    void look_at_strangers(Moment now);
    Moment next_look() const { return looks_at_; }

    /// Whether none of it is left. Processes that have ended do not count, though another program that traces
    /// one may keep it from being collected.
    bool is_empty();
    /// Those that live, with their pids.
    std::string names();

    /// To all, from outside (see there); one that is stopped is continued. Not for KILL.
    void send(int number, Moment latest);
    /// Kills all. The runs among them are spared until that moment, to return their slots, and asked to end
    /// where that `is_first`.
    void kill(Moment spares_runs_until, bool is_first);
    /// Kills semactl's children, runs as above. Their own children come to semactl then, and are killed the
    /// next time. Whether any was killed. Takes neither a descriptor nor memory.
    bool kill_children(Moment spares_runs_until);

  private:
    Descendants find();
    std::optional<std::set<pid_t>> ended();
    bool has_child_of_command();
    bool has_only_helpers();
    bool is_apart(pid_t pid) const;
    /// Whether it is a child that semactl has for itself.
    bool is_helper(pid_t pid) const { return pid == bystander_pid() || pid == writer_pid(); }
    void send_to(const std::vector<Process>& all, int number, bool spares_runs);
    pid_t bystander_pid() const;
    pid_t writer_pid() const;

    const ProcFolder& proc_;
    const Bystander& bystander_;
    Console& console_;
    /// Those that are left, and what was seen to descend from them.
    std::vector<Process> strangers_;
    Moment looks_at_ = BootClock::never;
    OwnChildren children_;
    pid_t command_ = 0;
    std::optional<Process> apart_;
};

}  // namespace sema
