#pragma once

#include "cli/console.hpp"
#include "cli/run/bystander.hpp"
#include "cli/run/child.hpp"
#include "cli/run/command_tree.hpp"
#include "cli/run/keeper.hpp"
#include "cli/run/proc_folder.hpp"
#include "cli/run/signals.hpp"
#include "cli/run/wake_up.hpp"
#include "client/alarm.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sema {

/// How a command that held a slot came to its end.
struct Ended {
    int exit_status = 0;
    /// Where it did not come to run: why its file could not be executed, an errno.
    std::optional<int> exec_failure{};
    /// No process of the command's is left that could still use the slot. Never false for a command that
    /// ended by itself: what that leaves behind is its own affair.
    bool slot_is_free = true;
    /// The command, or what was left of it, was stopped since a lease ended before that did.
    bool lease_was_lost = false;
    /// When semactl was first asked to stop it.
    std::optional<Moment> stop_requested{};
    /// That was the end of semactl's parent: a first request to stop may yet come.
    bool parent_asked = false;
    /// The signal that asked last, and when it was passed on: see same_request.
    int stop_signal = 0;
    Moment stop_passed_on{};
    /// No signal waited to be read then.
    Moment heard_until{};
    /// The command was killed while a run around this one kills what is in it: what is started now is killed,
    /// too.
    bool killed_from_around = false;
};

/// Runs a command, and looks after it until its slot can be returned:
///
/// - Signals that semactl gets are passed to the command, and to it alone, unless they were sent to the
///   process group that both are in, as those of the terminal's keys are: then it has got them.
/// - An INT, TERM, HUP or QUIT to semactl sets a limit: at `kill_after`, or at a second one, all is killed.
///   So does a signal that would end semactl and is nothing to a command (ABRT and the like), which gets a
///   TERM in its place. One to the group does that too, but not where the terminal's user, the command or a
///   descendant of it sent it: what becomes of that is the command's own affair.
/// - The leases are kept alive. Whatever they demand (see Upkeep) is done to the whole tree.
/// - When the server says that a lease is gone before its time, the command is stopped, or asked to stop in
///   a way of its user's choice, or left alone.
/// - A command that ends after any of the two, or of a signal that was passed on, takes its descendants with
///   it: TERM, and later KILL. While these are being stopped, the leases have the last word on how long that
///   may take, as they have while the command runs.
/// - A command that the terminal's user stopped stops semactl, and so gives the terminal back; once both
///   are continued it has the terminal again, even where it is a shell with a process group of its own.
///   Should the leases come to their end before that, the command is continued to be stopped for good. Where
///   nothing would continue semactl then, or the command's end has begun, semactl does not stop.
///
/// What is killed may have a `semactl run` in it, with a slot of its own. Its command is killed, too, and it
/// has a moment more to return that slot. It is asked by a TERM that semactl itself sends: all others come
/// from_outside().
///
/// Where what is said may take for ever, since stderr is a file, another process writes it, once the signals
/// are sent that it speaks of.
///
/// Whatever goes wrong: the slot is not returned while a process of the command's is left, or may be.
///
/// REQUIRES: prepare_to_supervise() found nothing missing.
class Supervisor {
  public:
    struct Limits {
        /// None: never kill for a signal's sake.
        std::optional<Duration> kill_after{};
        /// In any case then.
        std::optional<Moment> kill_at{};
        /// When semactl was asked to stop before, so that the next request is the second one.
        std::optional<Moment> asked_before{};
        /// The signal that asked last, when that was passed on, and until when no other had come: one that
        /// waits to be read when this begins may be its echo.
        int asked_by = 0;
        Moment asked_passed_on{};
        Moment heard_until{};
        /// The time between the request to stop, when a lease is gone, and KILL; at most a sixth of its ttl.
        Duration grace{};
        /// What asks a command to stop when its lease is gone or about to end, in TERM's place. It gets the
        /// grace too, but not beyond the lease. Where it cannot be executed, TERM is sent. Given 0 where the
        /// command has ended already and what it left is being stopped, which gets the TERM too, and where
        /// the command was killed as its lease was over.
        std::function<ChildSpec(pid_t command)> on_lost{};
        bool ignore_lost = false;
        /// The command is a line that cleans up after another one. It gets none of the signals but those that
        /// stop and continue a job; one that asks to stop sets its limit.
        bool is_teardown = false;
        /// Look after the descendants too that a command leaves behind which ended by itself.
        bool hold_tree = false;
        /// Descendants that semactl had before the command: none of ours to stop, nor is what they start.
        std::vector<Process> strangers{};
    };

    /// `pool` is what messages call the pool. The keeper and /proc must outlive the supervisor.
    Supervisor(Keeper& keeper, Limits limits, Signals& signals, Console& console, const ProcFolder& proc,
               std::string pool);
    /// Where run() was left by an exception after the command had started: kills the whole tree, and disowns
    /// the leases, which end with their ttl then, unless it is gone.
    ~Supervisor();
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    /// Once.
    Ended run(const ChildSpec& command, const InheritedDescriptors& descriptors);

  private:
    StartedChild start(const ChildSpec& command);
    Ended look_after();

    void on_signal(const Signal& signal);
    void pass_on(const Signal& signal);
    bool comes_from_around(const Signal& signal) const;
    void on_stop_request(Moment now);
    void begin_stop(Moment now);
    void on_terminal_stop(const Signal& signal);
    void on_continue(const Signal& signal);
    void forward(int number);
    bool reached_command_already(const Signal& signal);
    Signals::Mask missed_at_start() const;

    Moment catch_up();
    void reap();
    void follow_stopped_command(Moment now);
    void go_on_after_stop();
    void give_terminal_back();
    bool is_ending() const;
    bool will_be_woken();
    void forget_wake_up();
    void undo_stop();
    Moment first_end() const;
    Moment latest_kill() const;
    Moment longest_stop(Moment now) const;
    Moment longest_asking(Moment now) const;
    void forget_asker();
    void uphold_lease(Moment now);
    void end_stopped_command(Moment now);
    void on_lost(const Keeper::Lost& lease);
    void heed_lease(Moment now);
    void kill_by(Moment end);
    void lose(const std::string& why);
    void ask_to_stop(Moment now);
    bool start_asker(Moment now, pid_t command);
    void follow_execs();
    void enforce_limit(Moment now);
    std::optional<Ended> finished(Moment now);
    bool settle_end(Moment now);
    bool is_in_use();
    bool is_being_stopped() const;
    Moment spares_until(Moment now) const;
    Moment kills_until() const;
    void chase();
    bool kill_tree();
    void report_leftovers();
    void wait(Moment now);

    Keeper& keeper_;
    const Limits limits_;
    Signals& signals_;
    Console& console_;
    const ProcFolder& proc_;
    const std::string pool_;
    Alarm alarm_;
    Bystander bystander_;
    WakeUp wake_up_;
    CommandTree tree_;

    /// What the command is to have, while it runs.
    const InheritedDescriptors* descriptors_ = nullptr;
    /// 0 where there is none, or it has ended.
    pid_t command_ = 0;
    /// Until nothing is left to be done for the command.
    std::optional<StartedChild> start_;
    std::optional<int> status_;
    /// The signals that it was sent and that do not ask to stop.
    std::set<int> passed_on_;
    std::optional<Moment> stop_requested_;
    int stop_request_ = 0;
    /// The one request so far was the end of semactl's parent: the next one counts as the first.
    bool parent_asked_ = false;
    Moment stop_passed_on_{};
    /// All signals that waited when this began have been read.
    bool was_quiet_ = false;
    /// A run around this one has begun to kill what is in it.
    bool is_killed_around_ = false;
    /// Signals that are yet to be read, and that came before there was a process for the command.
    Signals::Mask missed_ = 0;
    /// At this moment, or later, semactl had no signal.
    Moment quiet_at_{};
    /// When the bystander had one, as long as that may be one that semactl gets, too.
    std::optional<Moment> heard_at_;
    /// The signal that ended the command, until it is clear whether it was passed on.
    std::optional<int> ended_by_;
    /// The command's process group.
    pid_t group_ = 0;
    std::optional<Moment> kill_at_;
    std::optional<Moment> killing_since_;
    /// When what is left is killed again.
    Moment next_round_{};
    /// Until then a semactl in the tree is not killed.
    Moment spare_until_{};
    /// What the server said of a lease, while it has yet to be heeded.
    std::optional<std::string> gone_;
    /// All is being stopped since a lease ends or is gone.
    bool lost_ = false;
    /// What on_lost started, while it runs, and until when it may.
    struct Asker {
        StartedChild start;
        Process process;
        Moment kill_at;
    };
    std::optional<Asker> asker_;
    bool rest_said_ = false;
    bool rest_named_ = false;
    std::optional<Moment> command_stopped_;
    bool was_stopped_ = false;
    /// What stops a job was passed on to the command, and no CONT came since.
    bool stop_forwarded_ = false;
    bool no_stop_said_ = false;
    /// The command's own group, where it had the terminal when semactl stopped.
    std::optional<pid_t> terminal_group_;
};

}  // namespace sema
