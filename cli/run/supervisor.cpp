#include "cli/run/supervisor.hpp"

#include "cli/exit_status.hpp"
#include "cli/run/from_outside.hpp"
#include "cli/run/terminal.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <exception>
#include <system_error>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How often a tree that is being killed is looked at: one that forks needs several rounds.
constexpr Duration kill_round = 10ms;
// A look takes a time with all of the machine's processes, and many commands may be killed at once there:
// each has this many times the look's for its pause, so that the processes that are killed have time to end.
constexpr int look_pause = 4;
// A process that forks and ends without a pause is caught within less, on a machine that is not busy.
constexpr Duration longest_chase = 5ms;
// The time that a semactl in the tree has to return a slot. With it semactl itself stays below the 5 s it is
// to end in.
constexpr Duration longest_return = 400ms;
// After this, what is left can't be killed: it is another user's, or stuck in the kernel. On a machine that
// is busy enough a process takes longer to die, so there may be more where that is early.
constexpr Duration kill_patience = 1s;
// From the first request to stop on, where the KILL did not come later: what is left of the 5 s is for the
// return.
constexpr Duration all_stopping = 4300ms;
// From the same on, as long as the KILL came in that time: by then what cannot be killed is given up.
constexpr Duration all_given_up = 4800ms;
// A command that stays stopped this long was not just stopped together with semactl.
constexpr Duration stop_settles = 100ms;
// As many may be pending at once, the real-time ones aside. Of more that come one after the other, as from a
// program that does nothing else, the command's end is not to wait.
constexpr int most_in_a_row = 32;
// What semactl takes to stop, on a busy machine too: a CONT that comes before that is lost.
constexpr Duration stopping = 250ms;

std::string name_of(int signal) {
    const char* name = sigabbrev_np(signal);
    return name != nullptr ? name : std::to_string(signal);
}

bool is_stopped(pid_t pid, const ProcFolder& proc) {
    const auto process = find_process(pid, proc);
    return process && process->state == 'T';
}

// The time that this process has computed for.
Duration processor_time() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_nsec / 1000);
}

}  // namespace

Supervisor::Supervisor(Keeper& keeper, Limits limits, Signals& signals, Console& console,
                       const ProcFolder& proc, std::string pool)
    : keeper_(keeper),
      limits_(std::move(limits)),
      signals_(signals),
      console_(console),
      proc_(proc),
      pool_(std::move(pool)),
      bystander_(proc),
      tree_(proc, bystander_, console, limits_.strangers),
      stop_request_(limits_.asked_by),
      stop_passed_on_(limits_.asked_passed_on),
      kill_at_(limits_.kill_at) {}

Supervisor::~Supervisor() {
    if (!start_ || kill_tree()) return;
    keeper_.disown();
    try {
        killing_since_ = BootClock::now();
        report_leftovers();
    } catch (const std::exception&) {
        // The first failure is reported elsewhere.
    }
}

Ended Supervisor::run(const ChildSpec& command, const InheritedDescriptors& descriptors) {
    descriptors_ = &descriptors;
    // What the bystander got before shows nothing of the command.
    quiet_at_ = BootClock::now() + Bystander::in_turn;
    start_.emplace(start(command));
    // Nothing may fail between the start and this line: from here on the destructor sees to the rest.
    command_ = start_->pid();
    tree_.set_command(command_);
    bystander_.watch_over(command_, limits_.kill_after);
    missed_ = missed_at_start();
    start_->let_go();
    const Ended ended = look_after();
    start_.reset();
    return ended;
}

// Not when a lease demands that all is dead.
StartedChild Supervisor::start(const ChildSpec& command) {
    Moment too_late = Moment::max();
    for (const Keeper::Kept& kept : keeper_.leases())
        too_late = std::min(too_late, kept.upkeep.kill_at());
    try {
        return start_child(command, signals_, *descriptors_, too_late);
    } catch (const std::system_error& error) {
        if (error.code().value() != EAGAIN || bystander_.pid() < 0) throw;
    }
    // There is room for one process, and the other can be done without.
    bystander_.end();
    return start_child(command, signals_, *descriptors_, too_late);
}

// What an event does, by how far the command's end has come:
//
//                   runs             is being stopped;     is being killed     has ended by itself,
//                                    or what it left is                        what it left has the slot
//   asked to stop   passed on; KILL  KILL, where asked     nothing more        nobody to pass it on to;
//                   after a while    the second time                           TERM, then KILL
//   lease is gone   TERM or what     the same: KILL after  the same, and no    TERM and what the user chose,
//   or about to     the user chose,  the grace, or sooner  semactl is spared   then KILL
//   end             then KILL        where it is due       for long
//   lease's end     KILL             KILL                  nothing more        KILL
//   command's end   slot returned;   TERM to what it left  what it left is
//                   what it left is  goes on until KILL    killed, too
//                   left, or held
//
// What was asked for or lost by the time that the slot could be returned keeps a teardown from being run.
Ended Supervisor::look_after() {
    for (int in_a_row = 0;;) {
        const Moment now = catch_up();
        // One at a time: while semactl deals with one it may be stopped, and its lease end, before the next
        // one continues the command.
        const auto signal = signals_.next();
        if (signal) {
            on_signal(*signal);
            if (++in_a_row < most_in_a_row) continue;
        } else {
            quiet_at_ = std::max(quiet_at_, now);
            was_quiet_ = true;
            missed_ = 0;
            if (heard_at_ && now - *heard_at_ > Bystander::in_turn) heard_at_.reset();
        }
        in_a_row = 0;
        if (const auto ended = finished(now)) {
            // One that has ended, but is not collected, keeps its process group: see SavedModes::restore().
            reap();
            return *ended;
        }
        if (signal) continue;
        follow_stopped_command(now);
        wait(now);
    }
}

// Takes in all that there is, without waiting. Returns the moment up to which that holds.
Moment Supervisor::catch_up() {
    reap();
    follow_execs();
    if (bystander_.heard()) heard_at_ = BootClock::now();
    const Moment now = BootClock::now();
    if (now >= tree_.next_look()) tree_.look_at_strangers(now);
    // What is to be signalled now does not wait until it is said why.
    const Console::Pause silence(console_);
    uphold_lease(now);
    enforce_limit(now);
    return now;
}

// ---- signals

void Supervisor::on_signal(const Signal& signal) {
    switch (signal.number) {
        case SIGCHLD:
            break;
        case SIGTSTP:
        case SIGTTIN:
        case SIGTTOU:
            on_terminal_stop(signal);
            break;
        case SIGCONT:
            on_continue(signal);
            break;
        default:
            pass_on(signal);
    }
}

void Supervisor::pass_on(const Signal& signal) {
    const Meaning meaning = meaning_of(signal.number);
    // News for nobody, unless it is what ended the command.
    if (meaning == Meaning::news && status_ && ended_by_ != signal.number) return;
    const Moment now = BootClock::now();
    const bool reached = reached_command_already(signal);
    // Nothing shows any more what a command was that has ended.
    const bool from_below =
        signal.sender > 0 && (signal.sender == command_ || is_descendant(signal.sender, getpid(), proc_));
    // The command's own affair.
    if (reached && (signal.from_kernel || from_below)) return;
    if (meaning == Meaning::news) {
        if (limits_.is_teardown) return;
        passed_on_.insert(signal.number);
        if (!reached) forward(signal.number);
        return;
    }
    // A process that is asked to stop may well signal its parent.
    if (from_below && stop_requested_) return;
    is_killed_around_ = is_killed_around_ || comes_from_around(signal);
    const Moment came = was_quiet_ ? now : std::min(now, std::max(limits_.heard_until, stop_passed_on_));
    const bool echo = signal.number == stop_request_ && came - stop_passed_on_ < same_request;
    if (echo) return;
    const Console::Pause silence(console_);
    if (signal.parent_is_gone)
        console_.note(pool_ + ": the process that started semactl is gone" +
                      (limits_.is_teardown ? "" : ", stopping the command"));
    if (!reached && !limits_.is_teardown) forward(meaning == Meaning::stop ? signal.number : SIGTERM);
    on_stop_request(now);
    parent_asked_ = parent_asked_ || signal.parent_is_gone;
    stop_request_ = signal.number;
    // To ask the bystander and to pass it on took a time, in which the second one may have come.
    stop_passed_on_ = BootClock::now();
}

// Whether a run around this one sent it, without a sender from outside: see CommandTree::kill().
bool Supervisor::comes_from_around(const Signal& signal) const {
    if (signal.sender <= 0 || !is_descendant(getpid(), signal.sender, proc_)) return false;
    return is_run(signal.sender, proc_);
}

void Supervisor::on_stop_request(Moment now) {
    const auto first = stop_requested_ ? stop_requested_ : limits_.asked_before;
    if (!stop_requested_) begin_stop(now);
    if (!first) return;
    if (std::exchange(parent_asked_, false)) return;
    if (now - *first < same_request) return;
    kill_by(now);
    if (asker_) asker_->kill_at = std::min(asker_->kill_at, now);
}

void Supervisor::begin_stop(Moment now) {
    stop_requested_ = now;
    // Often the whole job is asked to stop, and semactl's parent ends sooner.
    signals_.forget_parent();
    // What a lease that is gone demands is not put off.
    if (limits_.kill_after) kill_by(now + *limits_.kill_after);
    if (asker_) asker_->kill_at = std::min(asker_->kill_at, longest_asking(now));
}

// Ctrl-Z reaches the command from the kernel, as does the TTIN of a job in the background that reads from
// the terminal. A TSTP that was sent to semactl is passed on, as if the command had been meant.
void Supervisor::on_terminal_stop(const Signal& signal) {
    const bool reached = reached_command_already(signal);
    const bool ends = is_ending();
    was_stopped_ = false;
    if (!reached && !ends) {
        forward(signal.number);
        stop_forwarded_ = true;
    }
    if (!ends && will_be_woken()) {
        was_stopped_ = signals_.stop_self(signal.number);
        if (!was_stopped_) forget_wake_up();
    } else if (reached && signal.number == SIGTSTP) {
        // A job in the background that reads from the terminal would be stopped by that again.
        undo_stop();
    }
}

// The user's shell waits for semactl, which goes on: so does all else that the key stopped.
void Supervisor::undo_stop() {
    kill(0, SIGCONT);
}

// A shell that continues a job continues all of its processes, so the command is running again by now,
// unless it has a process group of its own.
void Supervisor::on_continue(const Signal& signal) {
    const bool job_continued = std::exchange(was_stopped_, false);
    forget_wake_up();
    if (signal.from_timer || signal.sender == bystander_.pid()) {
        const Moment now = BootClock::now();
        // One that was not stopped after all has renewed its lease since.
        if (first_end() - now < stopping) end_stopped_command(now);
        return;
    }
    const bool reached = reached_command_already(signal);
    give_terminal_back();
    // It may have yet to stop of what was passed on just before, or have got this CONT sooner than that.
    const bool stops = std::exchange(stop_forwarded_, false);
    if (stops || (job_continued ? is_stopped(command_, proc_) : !reached)) forward(SIGCONT);
}

// To a command that had it, in a group of its own, when semactl stopped.
void Supervisor::give_terminal_back() {
    const auto group = std::exchange(terminal_group_, std::nullopt);
    // Once the command is collected, its number may be another group's.
    if (!group || status_) return;
    const Terminal terminal;
    if (terminal.foreground() == getpgrp()) terminal.give_to(*group);
}

// When the KILL is due at the latest, unless a lease is renewed.
Moment Supervisor::latest_kill() const {
    Moment latest = kill_at_.value_or(BootClock::never);
    for (const Keeper::Kept& kept : keeper_.leases())
        latest = std::min(latest, kept.upkeep.kill_at());
    return latest;
}

// Whether the command got the signal from its sender.
bool Supervisor::reached_command_already(const Signal& signal) {
    const bool same_group = group_ == getpgrp();
    const auto group_got_it = bystander_.got(signal.number, quiet_at_ - Bystander::in_turn, latest_kill());
    const Signals::Mask own = Signals::Mask{1} << (signal.number - 1);
    if ((std::exchange(missed_, missed_ & ~own) & own) != 0) return false;
    if (group_got_it) return same_group && *group_got_it;
    // A key's signal goes to the group. The terminal's hang-up is signalled to the session's leader alone.
    const bool hang_up = signal.number == SIGHUP || signal.number == SIGCONT;
    return same_group && signal.from_kernel && !(hang_up && getsid(0) == getpid());
}

// The kernel has a signal to a group reach the process that is forked meanwhile, too, and the younger ones
// first. So while the command's process waits, it has all of these that semactl got since there is such a
// process. No clock would show which they are: on a busy machine a time passes between the fork and the next
// look at one, in either process.
Signals::Mask Supervisor::missed_at_start() const {
    const Signals::Mask pending = signals_.pending();
    if (pending == 0) return 0;
    return pending & ~pending_signals(command_, proc_).value_or(pending);
}

void Supervisor::forward(int number) {
    if (status_) return;
    const int error = from_outside([&] { return kill(command_, number) == 0 ? 0 : errno; }, latest_kill());
    if (error != 0 && error != ESRCH)
        console_.note("cannot pass " + name_of(number) + " on: " + std::generic_category().message(error));
    else
        console_.detail(pool_ + ": passed " + name_of(number) + " on");
}

// ---- the tree

void Supervisor::reap() {
    // Where it has ended, that is known until its end is collected.
    if (!status_) group_ = getpgid(command_);
    for (;;) {
        siginfo_t info{};
        if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) != 0) return;
        if (info.si_pid == 0) return;
        const bool has_ended = info.si_code != CLD_STOPPED && info.si_code != CLD_CONTINUED;
        if (has_ended && info.si_pid == bystander_.pid()) bystander_.was_reaped();
        if (ApartWriter* const writer = console_.writer();
            has_ended && writer != nullptr && info.si_pid == writer->pid())
            writer->was_reaped();
        if (has_ended && asker_ && info.si_pid == asker_->process.pid) forget_asker();
        // Another process may have the pid of a command that was collected.
        if (status_ || info.si_pid != command_) continue;
        if (has_ended) {
            command_stopped_.reset();
            tree_.set_command(0);
        }
        switch (info.si_code) {
            case CLD_EXITED:
                status_ = info.si_status;
                break;
            case CLD_KILLED:
            case CLD_DUMPED:
                status_ = exit_status::of_signal(info.si_status);
                ended_by_ = info.si_status;
                break;
            case CLD_STOPPED:
                command_stopped_ = BootClock::now();
                break;
            default:
                command_stopped_.reset();
        }
    }
}

// A command that stopped itself, as an editor may: the shell knows semactl alone, and takes the terminal
// back once that is stopped.
void Supervisor::follow_stopped_command(Moment now) {
    if (!command_stopped_ || now - *command_stopped_ < stop_settles) return;
    command_stopped_.reset();
    if (!is_stopped(command_, proc_)) return;
    const pid_t foreground = Terminal().foreground();
    const pid_t group = getpgid(command_);
    if (foreground != getpgrp() && foreground != group) return;
    if (is_ending() || !will_be_woken()) return forward(SIGCONT);
    if (group != getpgrp()) terminal_group_ = group;
    was_stopped_ = signals_.stop_self(SIGSTOP);
    if (!was_stopped_) go_on_after_stop();
}

// Where semactl was started with CONT ignored, that it runs again is all that shows that it was continued.
void Supervisor::go_on_after_stop() {
    forget_wake_up();
    const Moment now = BootClock::now();
    if (first_end() - now < stopping) return end_stopped_command(now);
    give_terminal_back();
    if (is_stopped(command_, proc_)) forward(SIGCONT);
}

// When the first lease demands the command's end, unless it is renewed.
Moment Supervisor::first_end() const {
    Moment first = BootClock::never;
    for (const Keeper::Kept& kept : keeper_.leases())
        first = std::min(first, kept.upkeep.terminate_at());
    return first;
}

// Whether the command's end has a time already.
bool Supervisor::is_ending() const {
    return lost_ || kill_at_ || first_end() - BootClock::now() < stopping;
}

// Has semactl continued when the time comes to stop the command for good, should it still be stopped then.
// False where the kernel would not: a process could be killed meanwhile.
bool Supervisor::will_be_woken() {
    const Moment end = first_end();
    bystander_.wake_at(end);
    if (wake_up_.set(end)) return true;
    if (!std::exchange(no_stop_said_, true))
        console_.note(pool_ +
                      ": semactl does not stop here: the system has no way to continue it before the lease "
                      "ends");
    return false;
}

void Supervisor::forget_wake_up() {
    wake_up_.set(BootClock::never);
    bystander_.wake_at(BootClock::never);
}

void Supervisor::uphold_lease(Moment now) {
    // The CONT to semactl is yet to be read: the command may be stopped still, and its lease about to end.
    if (!was_stopped_) keeper_.proceed(now);
    if (const auto lease = keeper_.take_lost()) on_lost(*lease);
    heed_lease(now);
}

// Done anew whenever something may have changed: a lease's demand lasts beyond the moment in which it begins,
// and a command that ended by then may have left processes that are still being stopped.
void Supervisor::heed_lease(Moment now) {
    const Upkeep::Step step = keeper_.due(now);
    if (step == Upkeep::Step::none && !gone_) return;
    const Console::Pause silence(console_);
    const bool is_first = !lost_;
    if (is_first) {
        if (!is_in_use()) return;
        lose((gone_ ? *gone_ + ":" : pool_ + ": the lease is about to end,") +
             (status_ ? " stopping what is left of the command" : " stopping the command") +
             (gone_ ? "" : keeper_.why_ending()));
        if (killing_since_) spare_until_ = std::min(spare_until_, spares_until(now));
        if (step != Upkeep::Step::kill) ask_to_stop(now);
    }
    if (std::exchange(gone_, std::nullopt)) kill_by(longest_stop(now));
    if (step != Upkeep::Step::kill) return;
    kill_by(now);
    if (!is_first) return;
    // The command is to be dead by now, so nothing is asked of it. What the user chose may stop something
    // else.
    enforce_limit(now);
    if (limits_.on_lost) start_asker(now, 0);
}

void Supervisor::kill_by(Moment end) {
    kill_at_ = std::min(kill_at_.value_or(BootClock::never), end);
}

// The terminal's user stopped the command, and it has not been continued since.
void Supervisor::end_stopped_command(Moment now) {
    if (lost_ || !is_in_use()) return;
    const Console::Pause silence(console_);
    lose(pool_ + ": the lease is about to end while the command is stopped: ending the command");
    ask_to_stop(now);
    // An asker, unlike the TERM, does not continue it.
    if (asker_) tree_.send(SIGCONT, latest_kill());
    for (const Keeper::Kept& kept : keeper_.leases())
        kill_by(kept.upkeep.kill_at());
}

/// The slot may be lent to another holder by now.
void Supervisor::on_lost(const Keeper::Lost& lease) {
    const std::string what =
        lease.pool +
        ": the lease is gone before its time (it was returned or revoked, or the pool was deleted, or the "
        "server lost its data)";
    if (limits_.ignore_lost) return console_.note(what + ": the command goes on without a slot");
    gone_ = what;
}

// When the processes that are asked to stop by `now`, and the asker, are killed at the latest. Where a lease
// is over already, since the machine slept, the asker has its time nonetheless: what it stops may run on.
Moment Supervisor::longest_stop(Moment now) const {
    Moment end = now + limits_.grace;
    for (const Keeper::Kept& kept : keeper_.leases()) {
        end = std::min(end, now + longest_grace(kept.ttl));
        if (kept.upkeep.kill_at() > now) end = std::min(end, kept.upkeep.kill_at());
    }
    return end;
}

// When the asker is killed at the latest. After a request to stop all that it leaves is to be killed in the
// 5 s, too.
Moment Supervisor::longest_asking(Moment now) const {
    const Moment end = longest_stop(now);
    if (!stop_requested_ || !limits_.kill_after) return end;
    return std::min(end, *stop_requested_ + std::max(*limits_.kill_after, all_stopping - longest_return));
}

void Supervisor::lose(const std::string& why) {
    lost_ = true;
    console_.error(why);
}

void Supervisor::ask_to_stop(Moment now) {
    const bool is_asked = limits_.on_lost && start_asker(now, status_ ? 0 : command_);
    // The asker does not know the processes that an ended command has left.
    if (!is_asked || status_) tree_.send(SIGTERM, latest_kill());
}

// It finds the pid of the command, where that is not 0.
bool Supervisor::start_asker(Moment now, pid_t command) {
    try {
        StartedChild start = start_child(limits_.on_lost(command), signals_, *descriptors_);
        start.let_go();
        // Nobody but reap() collects it, so that it is there to be found.
        if (const auto process = find_process(start.pid(), proc_))
            asker_.emplace(Asker{std::move(start), *process, longest_asking(now)});
        tree_.set_apart(asker_ ? std::optional(asker_->process) : std::nullopt);
        return true;
    } catch (const std::system_error& error) {
        console_.error(error.what());
        return false;
    }
}

void Supervisor::follow_execs() {
    start_->proceed();
    if (asker_) asker_->start.proceed();
}

// Its end. Processes that it leaves are the tree's, and the time to kill them begins now.
void Supervisor::forget_asker() {
    asker_->start.proceed();
    const auto failure = asker_->start.failure();
    asker_.reset();
    tree_.set_apart(std::nullopt);
    killing_since_.reset();
    if (!failure) return;
    tree_.send(SIGTERM, latest_kill());
    console_.error("cannot execute what --on-lost names: " + std::generic_category().message(*failure));
}

/// Whether a process is there that could still use the slot, as far as it is our business.
bool Supervisor::is_in_use() {
    return !status_ || ((limits_.hold_tree || is_being_stopped()) && !tree_.is_empty());
}

/// Whether the whole tree is to end, the command's own end or not.
bool Supervisor::is_being_stopped() const {
    return stop_requested_ || lost_ || killing_since_;
}

void Supervisor::enforce_limit(Moment now) {
    if (asker_ && now >= asker_->kill_at) {
        forget_asker();
        kill_by(now);
    }
    if (!kill_at_ || now < *kill_at_ || (killing_since_ && now < next_round_)) return;
    if (!killing_since_) spare_until_ = spares_until(now);
    const Duration before = processor_time();
    tree_.kill(spare_until_, !killing_since_);
    // The first round is enough for nearly all that there is.
    if (killing_since_) chase();
    next_round_ = now + std::max(kill_round, look_pause * (processor_time() - before));
    if (killing_since_) return;
    killing_since_ = now;
    console_.detail(pool_ + ": killing what still runs");
}

std::optional<Ended> Supervisor::finished(Moment now) {
    const auto ended = [this](bool slot_is_free) {
        const int own = lost_ ? exit_status::lease_lost : status_.value_or(exit_status::of_signal(SIGKILL));
        const bool killed = is_killed_around_ && status_ == exit_status::of_signal(SIGKILL);
        return Ended{.exit_status = own,
                     .exec_failure = start_->failure(),
                     .slot_is_free = slot_is_free,
                     .lease_was_lost = lost_,
                     .stop_requested = stop_requested_,
                     .parent_asked = parent_asked_,
                     .stop_signal = stop_request_,
                     .stop_passed_on = stop_passed_on_,
                     .heard_until = std::min(quiet_at_, BootClock::now()),
                     .killed_from_around = killed};
    };
    if (status_ && settle_end(now)) heed_lease(now);
    // What it stops beside the command may use the slot yet.
    if (asker_) return std::nullopt;
    if (killing_since_ && now >= kills_until()) {
        // There is no later look: what ends between two that are compared leaves them unlike.
        if (tree_.is_empty() || tree_.is_empty()) return ended(true);
        report_leftovers();
        return ended(false);
    }
    if (!status_) return std::nullopt;
    if (tree_.is_empty()) return ended(true);
    if (!is_being_stopped()) {
        if (!std::exchange(rest_named_, true)) report_leftovers();
        if (limits_.hold_tree) return std::nullopt;
        return ended(true);
    }
    if (!std::exchange(rest_said_, true) && !lost_ && !killing_since_) tree_.send(SIGTERM, latest_kill());
    return std::nullopt;
}

// The command has ended, and all signals that came before that are dealt with: the kernel sends one to all of
// a group before any of them can end of it. Whether that turns out to have been a request to stop.
bool Supervisor::settle_end(Moment now) {
    // There is no process left to pass signals on to, and no more to come of it: its pid may be another's.
    // Nor is a key's signal its affair any more.
    bystander_.end();
    command_ = 0;
    group_ = 0;
    const auto number = std::exchange(ended_by_, std::nullopt);
    // The sender may have meant to end it all.
    if (!number || passed_on_.count(*number) == 0 || stop_requested_) return false;
    begin_stop(now);
    return true;
}

// When the runs in a tree that is killed from `now` on are no more spared. Not so late that a process that
// one of them still starts could meet the next holder of a lease that ends.
Moment Supervisor::spares_until(Moment now) const {
    Moment end = now + longest_return;
    if (stop_requested_ && !lost_) end = std::max(end, *stop_requested_ + all_stopping - longest_return);
    for (const Keeper::Kept& kept : keeper_.leases()) {
        const bool lasts = !lost_ && kept.upkeep.kill_at() > now;
        end = std::min(end, lasts ? kept.upkeep.kill_at() : now + kept.upkeep.kill_time() / 2);
    }
    return end;
}

// When a tree that is being killed is given up.
Moment Supervisor::kills_until() const {
    const Moment end = *killing_since_ + kill_patience;
    // A limit of the user's may be beyond the 5 s.
    if (!stop_requested_ || *killing_since_ > *stop_requested_ + all_stopping) return end;
    return std::clamp(end, *stop_requested_ + all_stopping, *stop_requested_ + all_given_up);
}

// Kills what moves on by forking and ending: by the time that all of the machine's processes have been looked
// at it is another one, but each of them is semactl's child for a moment.
void Supervisor::chase() {
    const Moment end = BootClock::now() + longest_chase;
    while (tree_.kill_children(spare_until_) && BootClock::now() < end)
        reap();
}

// Kills whatever is left. Whether it is all gone then.
bool Supervisor::kill_tree() {
    asker_.reset();
    tree_.set_apart(std::nullopt);
    // Or the tree would never be empty.
    bystander_.end();
    // That time may be longer than this one.
    spare_until_ = {};
    const Moment give_up = BootClock::now() + kill_patience;
    for (;;) {
        reap();
        try {
            if (tree_.is_empty()) return true;
            tree_.kill(spare_until_, false);
            chase();
        } catch (const std::exception&) {
            // A look at /proc takes memory, and there is none as it seems.
            if (!status_) kill(command_, SIGKILL);
            tree_.kill_children(spare_until_);
        }
        if (BootClock::now() >= give_up) return false;
        poll(nullptr, 0, static_cast<int>(kill_round / 1ms));
    }
}

void Supervisor::report_leftovers() {
    const std::string names = tree_.names();
    if (killing_since_)
        return console_.note(pool_ + ": cannot kill " +
                             (names.empty() ? "processes that /proc does not show" : names) +
                             (lost_ ? ": what is left runs on without a slot"
                                    : ": the slot is not returned, and frees itself when its ttl ends"));
    if (names.empty()) return;
    if (limits_.hold_tree)
        console_.note(pool_ + ": the slot is held until these end too: " + names);
    else
        console_.note(pool_ + (limits_.is_teardown ? ": the teardown" : ": the command") +
                      " left running, now without a slot: " + names);
}

void Supervisor::wait(Moment now) {
    Moment next = keeper_.next_deadline(now);
    if (kill_at_ && !killing_since_) next = std::min(next, *kill_at_);
    if (killing_since_) next = std::min(next, next_round_);
    if (asker_) next = std::min(next, asker_->kill_at);
    if (command_stopped_) next = std::min(next, *command_stopped_ + stop_settles);
    if (heard_at_) next = std::min(next, *heard_at_ + Bystander::in_turn + 1ms);
    next = std::min(next, tree_.next_look());

    std::vector<int> wakes = {signals_.fd()};
    for (const int fd : {bystander_.fd(), start_->fd(), asker_ ? asker_->start.fd() : -1})
        if (fd >= 0) wakes.push_back(fd);
    const Duration limit = alarm_.set(next);
    if (alarm_.fd() >= 0) wakes.push_back(alarm_.fd());
    keeper_.wait(wakes, limit);
}

}  // namespace sema
