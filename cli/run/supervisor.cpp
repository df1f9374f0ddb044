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
#include <exception>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// timeout(1) and others signal a process, and right after that its whole group: one request that comes
// twice. No user asks again this fast.
constexpr Duration same_request = 30ms;
// How often a tree that is being killed is looked at: one that forks needs several rounds.
constexpr Duration kill_round = 10ms;
// What a semactl in the tree has to return a slot, in which semactl itself stays below the 5 s it is to end
// in.
constexpr Duration longest_return = 400ms;
// After this, what is left can't be killed: it is another user's, or stuck in the kernel.
constexpr Duration kill_patience = 1s;
// A command that stays stopped this long was not just stopped together with semactl.
constexpr Duration stop_settles = 100ms;
// What semactl takes to stop, on a busy machine too: a CONT that comes before that is lost.
constexpr Duration stopping = 250ms;

std::string name_of(int signal) {
    const char* name = sigabbrev_np(signal);
    return name != nullptr ? name : std::to_string(signal);
}

bool is_stopped(pid_t pid) {
    const auto process = find_process(pid);
    return process && process->state == 'T';
}

bool has_children() {
    siginfo_t info{};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

}  // namespace

std::vector<Process> own_descendants() {
    if (!has_children()) return {};
    auto [found, complete] = descendants(getpid(), {});
    if (!complete) throw std::runtime_error("cannot see in /proc which processes semactl was started with");
    return std::move(found);
}

Supervisor::Supervisor(Keeper& keeper, Limits limits, Signals& signals, Console& console, std::string pool)
    : keeper_(keeper),
      limits_(std::move(limits)),
      signals_(signals),
      console_(console),
      pool_(std::move(pool)),
      kill_at_(limits_.kill_at) {}

Supervisor::~Supervisor() {
    if (command_ == 0 || kill_tree()) return;
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
    // What came before, the command has yet to get.
    quiet_at_ = BootClock::now() + Bystander::in_turn;
    start_.emplace(start_child(command, signals_, descriptors));
    // Nothing may fail between the start and this line: from here on the destructor sees to the rest.
    command_ = start_->pid();
    bystander_.watch_over(command_);
    const Ended ended = look_after();
    command_ = 0;
    return ended;
}

Ended Supervisor::look_after() {
    for (;;) {
        const Moment now = catch_up();
        // One at a time: while semactl deals with one it may be stopped, and its lease end, before the next
        // one continues the command.
        if (const auto signal = signals_.next()) {
            on_signal(*signal);
            continue;
        }
        quiet_at_ = std::max(quiet_at_, now);
        if (heard_at_ && now - *heard_at_ > Bystander::in_turn) heard_at_.reset();
        if (const auto ended = finished(now)) return *ended;
        follow_stopped_command(now);
        wait(now);
    }
}

// What does not wait for anything. The moment that it is good for.
Moment Supervisor::catch_up() {
    reap();
    follow_execs();
    if (bystander_.heard()) heard_at_ = BootClock::now();
    const Moment now = BootClock::now();
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
    const Moment now = BootClock::now();
    const bool reached = reached_command_already(signal);
    // Nothing shows any more what a command was that has ended.
    const bool from_below =
        signal.sender > 0 && (signal.sender == command_ || is_descendant(signal.sender, getpid()));
    // The command's own affair.
    if (reached && (signal.from_kernel || from_below)) return;
    const Meaning meaning = meaning_of(signal.number);
    if (meaning == Meaning::news) {
        passed_on_.insert(signal.number);
        if (!reached) forward(signal.number);
        return;
    }
    // A process that is asked to stop may well signal its parent.
    if (from_below && stop_requested_) return;
    const bool echo = signal.number == stop_request_ && now - stop_passed_on_ < same_request;
    if (echo) return;
    if (signal.parent_is_gone)
        console_.note(pool_ + ": the process that started semactl is gone, stopping the command");
    if (!reached) forward(meaning == Meaning::stop ? signal.number : SIGTERM);
    on_stop_request(now);
    stop_request_ = signal.number;
    // To ask the bystander and to pass it on took a time, in which the second one may have come.
    stop_passed_on_ = BootClock::now();
}

void Supervisor::on_stop_request(Moment now) {
    if (!stop_requested_) {
        stop_requested_ = now;
        if (limits_.kill_after) kill_at_ = now + *limits_.kill_after;
    } else if (now - *stop_requested_ >= same_request) {
        kill_at_ = now;
    }
}

// Ctrl-Z reaches the command from the kernel, as does what stops a job in the background that reads from
// the terminal. A TSTP that was sent to semactl is passed on, as if the command had been meant.
void Supervisor::on_terminal_stop(const Signal& signal) {
    const bool reached = reached_command_already(signal);
    const bool ends = is_ending();
    if (!reached && !ends) forward(signal.number);
    if (!ends && will_be_woken()) {
        was_stopped_ = signals_.stop_self(signal.number);
        if (!was_stopped_) forget_wake_up();
    } else if (reached && signal.number == SIGTSTP) {
        // What reads from the terminal in the background would be stopped by that again.
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
    if (const auto group = std::exchange(terminal_group_, std::nullopt)) {
        const Terminal terminal;
        if (terminal.foreground() == getpgrp()) terminal.give_to(*group);
    }
    if (job_continued ? is_stopped(command_) : !reached) forward(SIGCONT);
}

// Whether the command got the signal from its sender.
bool Supervisor::reached_command_already(const Signal& signal) {
    const bool same_group = group_ == getpgrp();
    if (const auto group_got_it = bystander_.got(signal.number, quiet_at_ - Bystander::in_turn))
        return same_group && *group_got_it;
    // A key's signal goes to the group. The terminal's hang-up is signalled to the session's leader alone.
    const bool hang_up = signal.number == SIGHUP || signal.number == SIGCONT;
    return same_group && signal.from_kernel && !(hang_up && getsid(0) == getpid());
}

void Supervisor::forward(int number) {
    if (status_) return;
    const int error = from_outside([&] { return kill(command_, number) == 0 ? 0 : errno; });
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
        if (has_ended && asker_ && info.si_pid == asker_->process.pid) forget_asker();
        if (info.si_pid != command_) continue;
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
    if (!is_stopped(command_)) return;
    const pid_t foreground = Terminal().foreground();
    const pid_t group = getpgid(command_);
    if (foreground != getpgrp() && foreground != group) return;
    if (is_ending() || !will_be_woken()) return forward(SIGCONT);
    if (group != getpgrp()) terminal_group_ = group;
    was_stopped_ = true;
    raise(SIGSTOP);
}

// When the first lease demands the command's end, unless it is renewed.
Moment Supervisor::first_end() const {
    Moment first = Moment::max();
    for (const Keeper::Kept& kept : keeper_.leases())
        first = std::min(first, kept.upkeep.terminate_at());
    return first;
}

// Whether the command's end has a time already.
bool Supervisor::is_ending() const {
    return lease_ending_ || kill_at_ || first_end() - BootClock::now() < stopping;
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
    wake_up_.set(Moment::max());
    bystander_.wake_at(Moment::max());
}

void Supervisor::uphold_lease(Moment now) {
    keeper_.proceed(now);
    if (const auto lease = keeper_.take_lost()) on_lost(*lease, now);
    const Upkeep::Step step = keeper_.due(now);
    if (step == Upkeep::Step::none) return;
    if (!std::exchange(lease_ending_, true) && is_in_use()) {
        lose(pool_ + ": the lease is about to end, stopping the command" + keeper_.why_ending());
        // Where the KILL comes at once a TERM is of no use, but what stops something else is.
        if (step == Upkeep::Step::terminate || limits_.on_lost) ask_to_stop(now);
    }
    if (step == Upkeep::Step::kill && (!kill_at_ || *kill_at_ > now)) kill_at_ = now;
}

// The terminal's user stopped the command, and it has not been continued since.
void Supervisor::end_stopped_command(Moment now) {
    if (lease_ending_ || !is_in_use()) return;
    lose(pool_ + ": the lease is about to end while the command is stopped: ending the command");
    ask_to_stop(now);
    // What else asks it to stop does not wake it.
    if (asker_) send_to_tree(SIGCONT);
    for (const Keeper::Kept& kept : keeper_.leases())
        kill_at_ = std::min(kill_at_.value_or(Moment::max()), kept.upkeep.kill_at());
}

/// The slot may be lent to another holder by now.
void Supervisor::on_lost(const Keeper::Lost& lease, Moment now) {
    const std::string what =
        lease.pool +
        ": the lease is gone before its time (it was returned or revoked, or the pool was deleted, or the "
        "server lost its data)";
    if (limits_.ignore_lost) return console_.note(what + ": the command goes on without a slot");
    if (!is_in_use()) return;
    lose(what + ": stopping the command");
    ask_to_stop(now);
    kill_at_ = std::min(kill_at_.value_or(Moment::max()), longest_stop(now));
}

// When what is asked to stop by `now`, or does the asking, is killed at the latest. Where a lease is over
// already, since the machine slept, the asking has its time nonetheless: what it stops may run on.
Moment Supervisor::longest_stop(Moment now) const {
    Moment end = now + limits_.grace;
    for (const Keeper::Kept& kept : keeper_.leases()) {
        end = std::min(end, now + longest_grace(kept.ttl));
        if (kept.upkeep.kill_at() > now) end = std::min(end, kept.upkeep.kill_at());
    }
    return end;
}

// Said before whatever the command says to that.
void Supervisor::lose(const std::string& why) {
    lost_ = lease_ending_ = true;
    console_.error(why);
}

void Supervisor::ask_to_stop(Moment now) {
    if (limits_.on_lost && !status_ && start_asker(now)) return;
    send_to_tree(SIGTERM);
}

bool Supervisor::start_asker(Moment now) {
    try {
        StartedChild start = start_child(limits_.on_lost(command_), signals_, *descriptors_);
        // Nobody but reap() collects it, so that it is there to be found.
        if (const auto process = find_process(start.pid()))
            asker_.emplace(Asker{std::move(start), *process, longest_stop(now)});
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

// Its end. What it leaves is the tree's, and takes its time to be killed from now on.
void Supervisor::forget_asker() {
    asker_->start.proceed();
    const auto failure = asker_->start.failure();
    asker_.reset();
    killing_since_.reset();
    if (!failure) return;
    console_.error("cannot execute what --on-lost names: " + std::generic_category().message(*failure));
    send_to_tree(SIGTERM);
}

/// Whether a process is there that could still use the slot, as far as it is our business.
bool Supervisor::is_in_use() const {
    return !status_ || (limits_.hold_tree && !tree_is_empty());
}

void Supervisor::enforce_limit(Moment now) {
    if (asker_ && now >= asker_->kill_at) {
        forget_asker();
        kill_at_ = std::min(kill_at_.value_or(now), now);
    }
    if (!kill_at_ || now < *kill_at_) return;
    if (!killing_since_) spare_until_ = now + time_to_return();
    send_to_tree(SIGKILL);
    if (killing_since_) return;
    killing_since_ = now;
    console_.detail(pool_ + ": killing what still runs");
}

std::optional<Ended> Supervisor::finished(Moment now) {
    const auto ended = [this](bool slot_is_free) {
        const int own = lost_ ? exit_status::lease_lost : status_.value_or(exit_status::of_signal(SIGKILL));
        return Ended{own, start_->failure(), slot_is_free, lost_, stop_requested_};
    };
    if (status_) settle_end(now);
    // What it stops beside the command may use the slot yet.
    if (asker_) return std::nullopt;
    if (killing_since_ && now - *killing_since_ >= kill_patience) {
        if (tree_is_empty()) return ended(true);
        report_leftovers();
        return ended(false);
    }
    if (!status_) return std::nullopt;
    if (tree_is_empty()) return ended(true);
    if (!stop_requested_ && !lost_) {
        if (!std::exchange(rest_named_, true)) report_leftovers();
        if (limits_.hold_tree) return std::nullopt;
        return ended(true);
    }
    if (!std::exchange(rest_said_, true) && !lost_) send_to_tree(SIGTERM);
    return std::nullopt;
}

// The command has ended, and all signals that came before that are dealt with: the kernel sends one to all of
// a group before any of them can end of it.
void Supervisor::settle_end(Moment now) {
    // There is no process left to pass signals on to.
    bystander_.end();
    const auto number = std::exchange(ended_by_, std::nullopt);
    // The sender may have meant to end it all.
    if (number && passed_on_.count(*number) != 0 && !stop_requested_) on_stop_request(now);
}

bool Supervisor::tree_is_empty() const {
    // As the subreaper semactl is the parent of every orphan, so without a child there is no descendant.
    if (!has_children()) return true;
    // Children that were not there before are the command's, whether /proc shows them or not.
    if (limits_.strangers.empty() && bystander_.pid() < 0) return false;
    const auto [found, complete] = tree();
    return complete && found.empty();
}

Descendants Supervisor::tree() const {
    std::vector<Process> without = limits_.strangers;
    if (asker_) without.push_back(asker_->process);
    Descendants all = descendants(getpid(), without);
    const auto is_bystander = [this](const Process& process) { return process.pid == bystander_.pid(); };
    all.found.erase(std::remove_if(all.found.begin(), all.found.end(), is_bystander), all.found.end());
    return all;
}

// Not so long that what such a semactl still starts could meet the next holder of a lease that ends.
Duration Supervisor::time_to_return() const {
    Duration time = longest_return;
    for (const Keeper::Kept& kept : keeper_.leases())
        time = std::min(time, kept.upkeep.kill_time() / 2);
    return time;
}

void Supervisor::send_to_tree(int number) {
    const std::vector<Process> all = tree().found;
    const bool spares = number == SIGKILL && BootClock::now() < spare_until_;
    const auto send = [number, spares](const Process& process) {
        if (spares && process.name == "semactl") return;
        send_signal(process, number);
        // One that is stopped would not even notice.
        if (number != SIGKILL) send_signal(process, SIGCONT);
    };
    const auto send_to_all = [&] {
        bool command_is_shown = false;
        for (const Process& process : all) {
            command_is_shown = command_is_shown || process.pid == command_;
            send(process);
        }
        // Whatever /proc shows, it has its pid until reap() has seen its end.
        if (command_is_shown || status_) return 0;
        kill(command_, number);
        kill(command_, SIGCONT);
        return 0;
    };
    // No process can ignore a KILL.
    static_cast<void>(number == SIGKILL ? send_to_all() : from_outside(send_to_all));
}

// Kills whatever is left. Whether it is all gone then.
bool Supervisor::kill_tree() {
    asker_.reset();
    // Or the tree would never be empty.
    bystander_.end();
    const Moment give_up = BootClock::now() + kill_patience;
    for (;;) {
        reap();
        try {
            if (tree_is_empty()) return true;
            send_to_tree(SIGKILL);
        } catch (const std::exception&) {
            // A look at /proc takes memory, and there is none as it seems.
            if (!status_) kill(command_, SIGKILL);
        }
        if (BootClock::now() >= give_up) return false;
        poll(nullptr, 0, static_cast<int>(kill_round / 1ms));
    }
}

void Supervisor::report_leftovers() {
    std::string names;
    for (const Process& process : tree().found) {
        if (process.state == 'Z') continue;
        names += (names.empty() ? "" : ", ") + process.name + " (" + std::to_string(process.pid) + ")";
    }
    if (killing_since_)
        return console_.note(pool_ + ": cannot kill " +
                             (names.empty() ? "processes that /proc does not show" : names) +
                             ": the slot is not returned, and frees itself when its ttl ends");
    if (names.empty()) return;
    if (limits_.hold_tree)
        console_.note(pool_ + ": the slot is held until these end too: " + names);
    else
        console_.note(pool_ + ": the command left running, now without a slot: " + names);
}

void Supervisor::wait(Moment now) {
    Moment next = keeper_.next_deadline(now);
    if (kill_at_ && !killing_since_) next = std::min(next, *kill_at_);
    if (killing_since_) next = std::min(next, now + kill_round);
    if (asker_) next = std::min(next, asker_->kill_at);
    if (command_stopped_) next = std::min(next, *command_stopped_ + stop_settles);
    if (heard_at_) next = std::min(next, *heard_at_ + Bystander::in_turn + 1ms);

    std::vector<int> wakes = {signals_.fd()};
    for (const int fd : {bystander_.fd(), start_->fd(), asker_ ? asker_->start.fd() : -1})
        if (fd >= 0) wakes.push_back(fd);
    const Duration limit = alarm_.set(next);
    if (alarm_.fd() >= 0) wakes.push_back(alarm_.fd());
    keeper_.wait(wakes, limit);
}

}  // namespace sema
