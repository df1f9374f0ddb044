#include "cli/dispatch/command_backend.hpp"

#include "cli/run/command.hpp"
#include "cli/run/environment.hpp"
#include "common/given_text.hpp"

#include <unistd.h>

#include <filesystem>
#include <stdexcept>

namespace sema {
namespace {

using namespace std::chrono_literals;

// Runs a start command, and sees to its lease where the dispatcher does not: one that was killed, or halted.
//
// Two guards bound the command's time, as the dispatcher does a moment before them: TERM for the process
// group, and then KILL, so that nothing of the start is left when the lease ends. They begin before the
// command, and may lose one of them. Seconds are counted as the lease's are, also while the machine sleeps.
//
// What comes after the command takes nothing of its time, and goes on when that is over. A line on stdin says
// that the dispatcher has seen to the lease. Where none comes the lease is renewed for the task, so that no
// task runs without its slot; or, where the dispatcher is gone and the start failed, it is ended, and no
// later one of the same task.
//
// The names are such that none of the environment's is changed. Descriptor 3 is this program, also after its
// file was replaced.
constexpr const char* start_script = R"(
_hold=$1 _limit=$2 _late= _guards= _status=127; shift 2
_semactl=/proc/self/fd/3
[ -e $_semactl ] || _semactl=semactl
exec 4<&0 </dev/null
uptime() { read -r _now _ </proc/uptime || _now=0; _now=${_now%%.*}; }
uptime
_end=$((_now + _limit))
over() {
    PATH=$PATH:/usr/bin:/bin
    while [ $_limit -gt 0 ] && uptime && [ $_now -lt $_end ]; do
        sleep 1 || exit
        _limit=$((_limit - 1))
    done
}
guard() {
    trap '' HUP TERM
    over
    trap 'kill -KILL 0' EXIT
    kill -TERM 0
    sleep 1
}
trap _late=1 TERM
trap 'kill -KILL $_guards 2>/dev/null; exit $_status' EXIT
for _ in 1 2; do
    guard >/dev/null 2>&1 &
    _guards="$_guards $!"
done
(unset SEMA_DISPATCH_POOL; exec "$@" 3<&- 4<&-)
_status=$?
[ "$_late" ] && kill -KILL 0
(
    (read -r _ <&4) &
    _reader=$!
    (over; kill -KILL $_reader) &
    _clock=$!
    wait $_reader
    _news=$?
    kill -KILL $_clock
    [ $_news = 0 ] && exit
    exec 4<&-
    [ $_status = 0 ] &&
        exec $_semactl -q keepalive env:SEMA_DISPATCH_POOL env:SEMA_LEASE --ttl "$_hold" --fence "$SEMA_FENCE"
    [ $_news = 1 ] && exec $_semactl -q revoke env:SEMA_DISPATCH_POOL "$SEMA_POSITION" --fence "$SEMA_FENCE"
) >/dev/null 2>&1 &
exit $_status
)";
// By how much the guards leave the end of a command that is late to its dispatcher. The lease ends 10 s after
// that command's time.
constexpr auto guard_slack = 2s;
constexpr const char* shell = "/bin/sh";

// A process has returned its slot a moment before it ends.
constexpr auto last_moment = 5s;

std::string seconds(Duration time) {
    return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count());
}

std::vector<std::pair<std::string, std::string>> variables_of(const task& what) {
    return {{"SEMA_TASK", what.id},
            {"SEMA_BACKEND", what.backend},
            {"SEMA_POSITION", std::to_string(what.position)},
            {"SEMA_SLOT", what.slot},
            {"SEMA_LEASE", what.lease},
            {"SEMA_FENCE", std::to_string(what.fence)}};
}

CommandWords with_id(const CommandWords& words, const task& what) {
    return replace_tokens(words, {{"{id}", what.id}});
}

}  // namespace

CommandBackend::CommandBackend(BackendSettings settings, CommandSurroundings surroundings,
                               RunningCommands& running, StartWatches& starts)
    : settings_(std::move(settings)),
      surroundings_(std::move(surroundings)),
      running_(running),
      starts_(starts) {}

ProcessSpec CommandBackend::spec(const CommandWords& words, const Variables& variables) const {
    const std::string& name = words.front();
    // As the command would find it: in its working directory.
    const std::string named = name.find('/') == std::string::npos
                                  ? name
                                  : (std::filesystem::path(surroundings_.folder) / name).string();
    const ResolvedCommand resolved = resolve_command(named, current_search_path());
    if (const auto* absent = std::get_if<CommandNotFound>(&resolved))
        throw std::runtime_error(absent->reason);
    if (const auto* unusable = std::get_if<CommandNotExecutable>(&resolved))
        throw std::runtime_error(unusable->reason);
    return {.path = std::get<std::string>(resolved),
            .arguments = words,
            .environment = environment_with(variables, {}, nullptr),
            .folder = surroundings_.folder};
}

CommandResult CommandBackend::run(const ProcessSpec& spec, bool is_poll) const {
    ProcessSpec whole = spec;
    whole.environment.insert(whole.environment.end(), surroundings_.environment.begin(),
                             surroundings_.environment.end());
    Wakes over{surroundings_.hurry()};
    if (is_poll) over.push_back(surroundings_.over);
    auto result = run_command(whole, surroundings_.limit, is_poll, over);
    if (!result) throw std::runtime_error(result.error().message);
    return *std::move(result);
}

void CommandBackend::run(const CommandWords& words, const task& what) const {
    if (words.empty()) return;
    const CommandResult result = run(spec(with_id(words, what), variables_of(what)), false);
    if (!result.end.is_success()) throw std::runtime_error(words.front() + ": " + result.end.describe());
}

std::optional<std::string> CommandBackend::poll() {
    const CommandResult result = run(spec(settings_.poll, {{"SEMA_BACKEND", settings_.name}}), true);
    if (!result.end.is_success())
        throw std::runtime_error(settings_.poll.front() + ": " + result.end.describe());
    const std::string id(without_blanks(result.output));
    if (id.empty()) return std::nullopt;
    surroundings_.on_task(id);
    return id;
}

ProcessSpec CommandBackend::spec_of_run(const task& what) const {
    // A command that cannot be executed is noticed before a process has the lease.
    ProcessSpec command = spec(with_id(settings_.run, what), variables_of(what));
    CommandWords words = {"semactl",
                          "run",
                          "env:SEMA_DISPATCH_POOL",
                          "--lease",
                          "env:SEMA_LEASE",
                          "--fence",
                          std::to_string(what.fence),
                          "--ttl",
                          seconds(surroundings_.ttl),
                          "--die-with-parent",
                          "--"};
    words.insert(words.end(), command.arguments.begin(), command.arguments.end());
    command.path = own_program;
    command.arguments = std::move(words);
    command.environment.push_back(std::string(dispatch_pool_variable) + "=" + surroundings_.pool);
    command.environment.insert(command.environment.end(), surroundings_.environment.begin(),
                               surroundings_.environment.end());
    return command;
}

ProcessSpec CommandBackend::spec_of_start(const task& what, int watch) const {
    ProcessSpec command = spec(with_id(settings_.start, what), variables_of(what));
    if (access(shell, X_OK) != 0) return command;
    CommandWords words = {"sh",
                          "-c",
                          start_script,
                          "sh",
                          seconds(surroundings_.hold),
                          seconds(surroundings_.limit + guard_slack)};
    command.arguments.front() = command.path;
    words.insert(words.end(), command.arguments.begin(), command.arguments.end());
    command.path = shell;
    command.arguments = std::move(words);
    command.environment.push_back(std::string(dispatch_pool_variable) + "=" + surroundings_.pool);
    command.in = watch;
    command.third = surroundings_.program;
    return command;
}

void CommandBackend::start(const task& what) {
    surroundings_.on_task(what.id);
    if (hands_lease_on()) {
        const auto started = running_.start(what.fence, spec_of_run(what), surroundings_.ttl);
        if (!started) throw std::runtime_error(started.error().message);
        return;
    }
    auto watch = make_pipe();
    if (!watch) throw std::runtime_error(watch.error().message);
    const ProcessSpec spec = spec_of_start(what, watch->reading.get());
    starts_.add(what.fence, std::move(watch->writing));
    const CommandResult result = run(spec, false);
    if (!result.end.is_success())
        throw std::runtime_error(settings_.start.front() + ": " + result.end.describe());
}

void CommandBackend::stop(const task& what) {
    surroundings_.on_task(what.id);
    const auto ended =
        hands_lease_on() ? running_.end(what.fence, what.holds_slot ? 0s : last_moment) : std::nullopt;
    if (ended && !ended->was_asked && !ended->end.is_success()) {
        // The command has ended, so the slot is free whatever comes of this.
        const std::runtime_error why(settings_.run.front() + ": " + ended->end.describe());
        try {
            static_cast<void>(error(what, backend_call::run, why));
        } catch (const std::exception& failure) {
            surroundings_.on_trouble(settings_.name + ": error of " + what.id + " failed: " + failure.what());
        }
    }
    run(settings_.stop, what);
}

void CommandBackend::timeout(const task& what) {
    surroundings_.on_task(what.id);
    run(settings_.timeout_command, what);
}

void CommandBackend::keepalive(const task& what) {
    surroundings_.on_task(what.id);
    run(settings_.keepalive, what);
}

bool CommandBackend::error(const task& what, backend_call failed, const std::exception&) {
    if (settings_.error.empty()) return false;
    const auto key = [&] {
        switch (failed) {
            case backend_call::poll:
                return "poll";
            case backend_call::start:
                return hands_lease_on() ? "run" : "start";
            case backend_call::stop:
                return "stop";
            case backend_call::timeout:
                return "timeout_command";
            case backend_call::keepalive:
                return "keepalive";
            case backend_call::run:
                return "run";
        }
        return "";
    }();
    const CommandWords words = replace_tokens(settings_.error, {{"{id}", what.id}, {"{call}", key}});
    const CommandResult result = run(spec(words, variables_of(what)), false);
    // One that did not end by itself has failed.
    if (result.end.by_signal || result.end.is_late)
        throw std::runtime_error(words.front() + ": " + result.end.describe());
    return result.end.status == 0;
}

}  // namespace sema
