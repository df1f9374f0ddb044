#include "cli/run/command_tree.hpp"

#include "cli/console.hpp"
#include "cli/run/bystander.hpp"
#include "cli/run/from_outside.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How often strangers are looked at for new descendants. A process that one of them starts and leaves between
// two looks cannot be distinguished from one that the command leaves.
constexpr Duration between_looks = 1s;

// What a run is called where /proc shows it.
constexpr const char* own_name = "semactl";

bool has_children() {
    siginfo_t info{};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

}  // namespace

std::vector<Process> own_descendants(const ProcFolder& proc) {
    if (!has_children()) return {};
    auto [found, complete] = descendants(getpid(), {}, proc);
    if (!complete) throw std::runtime_error("cannot see in /proc which processes semactl was started with");
    return std::move(found);
}

bool is_run(pid_t pid, const ProcFolder& proc) {
    const auto process = find_process(pid, proc);
    return process && process->name == own_name;
}

CommandTree::CommandTree(const ProcFolder& proc, const Bystander& bystander, Console& console,
                         std::vector<Process> strangers)
    : proc_(proc),
      bystander_(bystander),
      console_(console),
      strangers_(std::move(strangers)),
      children_(proc) {
    if (!strangers_.empty()) looks_at_ = Moment{};
}

void CommandTree::look_at_strangers(Moment now) {
    if (strangers_.empty()) return;
    follow(strangers_, proc_);
    looks_at_ = strangers_.empty() ? BootClock::never : now + between_looks;
}

bool CommandTree::is_empty() {
    // As the subreaper semactl is the parent of every orphan, so without a child there is no descendant.
    if (!has_children() || has_only_helpers()) return true;
    // A look takes its time: a process may leave a child that the look misses, and be found to have ended.
    // But where any lives when the second look begins, so does a child of semactl's. The second look finds
    // that, since nothing is collected meanwhile, and the first did not have it among those that had ended.
    const auto before = ended();
    return before && ended() == before;
}

// The pids of the tree's processes where a look shows that all have ended. None where one lives, or may.
std::optional<std::set<pid_t>> CommandTree::ended() {
    const auto has_ended = [](const Process& process) { return process.has_ended(); };
    if (command_ != 0 && !has_ended(find_process(command_, proc_).value_or(Process{}))) return std::nullopt;
    if (strangers_.empty() && has_child_of_command()) return std::nullopt;
    const auto [found, complete] = find();
    if (!complete || !std::all_of(found.begin(), found.end(), has_ended) || has_child_of_command())
        return std::nullopt;
    std::set<pid_t> pids;
    for (const Process& process : found)
        pids.insert(process.pid);
    return pids;
}

// Whether there is a child that semactl did not have before and does not have for itself, whether /proc shows
// it or not. A setuid program, as one example, may be hidden while all else is shown.
bool CommandTree::has_child_of_command() {
    bool any = false;
    children_.look();
    while (const pid_t pid = children_.next()) {
        any = true;
        if (is_apart(pid)) continue;
        const auto child = find_process(pid, proc_);
        if (!child || !child->has_ended()) return true;
    }
    // Some kernels do not say which children there are.
    return !any && strangers_.empty() && bystander_pid() < 0 && writer_pid() < 0;
}

// Whether all of its children are those that semactl has for itself, which start nothing. One look is enough:
// the kernel puts a child, an orphan too, at the list's end, and nobody but semactl takes one out.
bool CommandTree::has_only_helpers() {
    bool any = false;
    children_.look();
    while (const pid_t pid = children_.next()) {
        if (!is_helper(pid)) return false;
        any = true;
    }
    return any;
}

// Whether it is known as none of the command's.
bool CommandTree::is_apart(pid_t pid) const {
    const auto is_it = [pid](const Process& process) { return process.pid == pid; };
    return is_helper(pid) || (apart_ && is_it(*apart_)) ||
           std::any_of(strangers_.begin(), strangers_.end(), is_it);
}

Descendants CommandTree::find() {
    look_at_strangers(BootClock::now());
    std::vector<Process> without = strangers_;
    if (apart_) without.push_back(*apart_);
    Descendants all = descendants(getpid(), without, proc_);
    std::erase_if(all.found, [this](const Process& process) { return is_helper(process.pid); });
    return all;
}

pid_t CommandTree::bystander_pid() const {
    return bystander_.pid();
}

pid_t CommandTree::writer_pid() const {
    const ApartWriter* const writer = console_.writer();
    return writer != nullptr ? writer->pid() : -1;
}

std::string CommandTree::names() {
    std::string names;
    for (const Process& process : find().found) {
        if (process.has_ended()) continue;
        names += (names.empty() ? "" : ", ") + process.name + " (" + std::to_string(process.pid) + ")";
    }
    return names;
}

void CommandTree::send(int number, Moment latest) {
    const std::vector<Process> all = find().found;
    const auto send = [&] {
        send_to(all, number, false);
        return 0;
    };
    from_outside(send, latest);
}

void CommandTree::kill(Moment spares_runs_until, bool is_first) {
    const std::vector<Process> all = find().found;
    const auto lives = [](const Process& process) { return !process.has_ended(); };
    // What is left then is not shown.
    if (std::none_of(all.begin(), all.end(), lives)) kill_children(spares_runs_until);
    const bool spares = BootClock::now() < spares_runs_until;
    // Before its command is gone, or a run in the tree would begin a teardown, only to have it killed. A run
    // without a child may be returning a slot.
    const auto warn = [this, &all](const Process& process) {
        const auto is_child = [&](const Process& other) { return other.parent == process.pid; };
        if (process.name != own_name || std::none_of(all.begin(), all.end(), is_child)) return;
        send_signal(process, SIGTERM, proc_);
        send_signal(process, SIGCONT, proc_);
    };
    if (spares && is_first) std::for_each(all.begin(), all.end(), warn);
    // No process can ignore a KILL: it need not come from outside.
    send_to(all, SIGKILL, spares);
}

void CommandTree::send_to(const std::vector<Process>& all, int number, bool spares_runs) {
    bool command_is_shown = false;
    for (const Process& process : all) {
        command_is_shown = command_is_shown || process.pid == command_;
        if (spares_runs && process.name == own_name) continue;
        send_signal(process, number, proc_);
        // One that is stopped would not even notice.
        if (number != SIGKILL) send_signal(process, SIGCONT, proc_);
    }
    // Whatever /proc shows, it has its pid until its end is collected.
    if (command_is_shown || command_ == 0) return;
    ::kill(command_, number);
    ::kill(command_, SIGCONT);
}

bool CommandTree::kill_children(Moment spares_runs_until) {
    bool any = false;
    children_.look();
    while (const pid_t pid = children_.next()) {
        if (is_apart(pid) || (BootClock::now() < spares_runs_until && is_run(pid, proc_))) continue;
        ::kill(pid, SIGKILL);
        any = true;
    }
    return any;
}

}  // namespace sema
