#include "cli/commands/commands.hpp"
#include "cli/commands/insist.hpp"
#include "cli/dispatch/dispatcher.hpp"
#include "cli/dispatch/own_pool.hpp"
#include "cli/dispatch/tasks_json.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "client/scheduler/asking.hpp"
#include "common/overloaded.hpp"
#include "common/printable.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

constexpr const char* drain_reason = "drained by semactl dispatch";
constexpr auto between_looks = 200ms;

struct DispatchWords {
    std::vector<std::string> words;
    std::optional<Duration> patience;
    std::optional<Duration> wait;
    bool once = false;
    bool undo = false;
};

/// What the words say: `FILE`, or an action, an id where it has one, and a file.
struct DispatchCall {
    std::string action;
    std::string id;
    std::string file;
};

constexpr std::array<std::string_view, 4> actions = {"stop", "keepalive", "status", "drain"};

bool takes_id(std::string_view action) {
    return action == "stop" || action == "keepalive";
}

Expected<DispatchCall> parse(const std::vector<std::string>& words) {
    const std::string& first = words.front();
    if (std::find(actions.begin(), actions.end(), first) == actions.end()) {
        if (words.size() > 1)
            return failure("dispatch: '" + first + "' is not stop, keepalive, status or drain");
        return DispatchCall{"", "", first};
    }
    const std::size_t wanted = takes_id(first) ? 3 : 2;
    if (words.size() != wanted)
        return failure("dispatch " + first + " needs " + (wanted == 3 ? "ID and FILE" : "FILE") +
                       " (a file of that name is ./" + first + ")");
    if (wanted == 2) return DispatchCall{first, "", words[1]};
    if (const auto fault = fault_of_task_id(words[1])) return failure("ID is no task's id: " + *fault);
    return DispatchCall{first, words[1], words[2]};
}

int explain(Session& session, const PoolRef& pool, const LeaseTrouble& trouble) {
    if (trouble.kind == LeaseTrouble::Kind::no_such_pool) return explain(session, pool, NoSuchPool{});
    session.console.error(pool.name + ": " + trouble.reason);
    return trouble.kind == LeaseTrouble::Kind::unavailable ? exit_status::unreachable : exit_status::failed;
}

// The same again while the server is away, for some seconds.
template <class Ask>
auto ask_again(Duration wait, Ask ask) {
    const Moment end = BootClock::now() + wait;
    Backoff backoff;
    for (;;) {
        auto answer = ask();
        const Moment now = BootClock::now();
        const Duration pause = backoff.next(std::nullopt, std::min<Duration>(end - now, 3s), 100ms);
        const bool may_pass = !answer && answer.error().kind == LeaseTrouble::Kind::unavailable;
        if (!may_pass || now + pause >= end) return answer;
        poll(nullptr, 0, static_cast<int>(pause / 1ms));
    }
}

// Where the id was mistaken for the pool's, or a lease's, it is a secret.
bool is_secret(const std::string& id, const PoolRef& pool, LeaseSource& leases) {
    const auto given = LeaseId::parse(id);
    if (!given) return false;
    if (given->str() == pool.id.str()) return true;
    const auto details = leases.view();
    if (!details) return true;
    const auto tasks = view_tasks(*details).tasks;
    return std::any_of(tasks.begin(), tasks.end(),
                       [&](const SeenTask& task) { return lease_of_task(pool.id, task.mark.id) == *given; });
}

int act_on_task(const DispatchCall& call, const PoolRef& pool, Duration wait, Session& session) {
    // A call that is not answered leaves time for another one.
    const auto leases = make_lease_source(session.client, pool.id, std::clamp<Duration>(wait, 1s, 5s));
    const auto task = ask_again(wait, [&] { return find_task(*leases, call.id); });
    if (!task) return explain(session, pool, task.error());
    if (*task || !is_secret(call.id, pool, *leases))
        session.console.show([id = call.id](std::string_view word) { return id.find(word) != id.npos; });
    LeaseOutcome<bool> done = false;
    if (*task) {
        done = ask_again(wait, [&] {
            return call.action == "stop" ? stop_task(*leases, pool.id, **task)
                                         : keep_task_alive(*leases, pool.id, **task);
        });
    }
    if (!done) return explain(session, pool, done.error());
    if (*done) return exit_status::done;
    session.console.error(pool.name + ": there is no task " + printable(call.id) +
                          " (semactl dispatch status lists those that run)");
    return exit_status::no_such_task;
}

int print_status(const PoolRef& pool, Session& session) {
    const auto leases = make_lease_source(session.client, pool.id);
    const auto details = leases->view();
    if (!details) return explain(session, pool, details.error());
    const TaskView view = view_tasks(*details);
    if (session.console.output() == Output::json) return print_result(session, json_line(tasks_json(view)));
    const auto terminal = session.console.terminal();
    std::string text;
    for (const std::string& line : task_table(view, pool.name, terminal ? terminal->columns : 0))
        text += line + "\n";
    return print_result(session, session.console.in_locale(std::move(text)));
}

// Takes all slots out of service that are in it, or puts those back that this took out.
std::optional<int> set_slots(bool out, const PoolRef& pool, Session& session) {
    const auto details = session.client.holders(pool.id);
    const auto* view = std::get_if<wire::PoolDetails>(&details);
    if (view == nullptr)
        return std::visit(Overloaded{[](const wire::PoolDetails&) { return exit_status::failed; },
                                     [&](const auto& why) { return explain(session, pool, why); }},
                          details);
    for (unsigned position = 0; position < view->count; ++position) {
        const auto entry = std::find_if(view->out.begin(), view->out.end(),
                                        [&](const auto& one) { return one.position == position; });
        const bool is_out = entry != view->out.end();
        const bool is_ours = is_out && entry->out && entry->out->reason == drain_reason;
        if (out ? is_out : !is_ours) continue;
        const auto answer = session.client.set_slot(
            pool.id, position,
            {.out = out, .reason = out ? std::optional<std::string>(drain_reason) : std::nullopt});
        if (!std::holds_alternative<wire::SlotState>(answer))
            return std::visit(Overloaded{[](const wire::SlotState&) { return exit_status::failed; },
                                         [&](const auto& why) { return explain(session, pool, why); }},
                              answer);
    }
    return std::nullopt;
}

int drain(const DispatchWords& options, const PoolRef& pool, Session& session) {
    if (const auto status = set_slots(!options.undo, pool, session)) return *status;
    if (options.undo) return exit_status::done;
    const auto leases = make_lease_source(session.client, pool.id);
    for (const Moment end = BootClock::now() + options.wait.value_or(0s);;) {
        const auto details = leases->view();
        if (!details && details.error().kind != LeaseTrouble::Kind::unavailable)
            return explain(session, pool, details.error());
        const std::size_t left = details ? view_tasks(*details).tasks.size() : 1;
        if (left == 0) return exit_status::done;
        if (BootClock::now() < end) {
            poll(nullptr, 0, between_looks / 1ms);
            continue;
        }
        if (!details) return explain(session, pool, details.error());
        session.console.note(pool.name + ": no slot is lent any more; " + std::to_string(left) +
                             (left == 1 ? " task goes" : " tasks go") + " on");
        return options.wait ? exit_status::no_slot : exit_status::done;
    }
}

int run_dispatch(const DispatchWords& options, Session& session) {
    const auto refuse = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    const auto call = parse(options.words);
    if (!call) return refuse(call.error().message);
    const bool runs = call->action.empty();
    if (!runs && (options.once || options.patience))
        return refuse("--once and --patience are for dispatch FILE alone");
    if (runs && options.wait) return refuse("--wait is for dispatch stop, keepalive and drain");
    if (options.undo && call->action != "drain") return refuse("--undo is for dispatch drain");
    if (runs)
        return run_dispatcher({.file = call->file, .patience = options.patience, .once = options.once},
                              session);

    session.console.show(names_state);
    const auto named = load_dispatch_pool(call->file);
    if (!named) return refuse(named.error().message);
    const auto pool = resolve_pool(*named, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return status_of_unresolved(*named);
    }
    if (call->action == "status") return print_status(*pool, session);
    if (call->action == "drain") return drain(options, *pool, session);
    return act_on_task(*call, *pool, options.wait.value_or(usual_insistence), session);
}

}  // namespace

void setup_dispatch(CLI::App& app, Invocation& chosen, const std::vector<std::string>& rest) {
    const auto options = std::make_shared<DispatchWords>();
    CLI::App& command = add_command(
        app, "dispatch", "Keep slots busy with tasks from sources of work",
        "  semactl dispatch FILE                starts the tasks that the backends in FILE name\n"
        "  semactl dispatch stop ID FILE        ends a task, and returns its slot\n"
        "  semactl dispatch keepalive ID FILE   begins its timeout anew\n"
        "  semactl dispatch status FILE         lists the tasks that have a slot\n"
        "  semactl dispatch drain FILE          lets the tasks end, and starts no more\n"
        "A task whose id begins with a hyphen stands behind --, as in\n"
        "  semactl dispatch stop -- -ID FILE\n"
        "All but the first work from any machine: of FILE only the pool matters to them.\n"
        "Exit status 67 means that there is no such task. FILE is described in semactl-dispatch(1).\n\n"
        "Example: a file with a backend, and what runs\n"
        "  semactl dispatch farm.toml &\n"
        "  semactl dispatch status farm.toml");
    add_words(command, "WORD", options->words,
              "The FILE alone, or stop ID FILE, keepalive ID FILE, status FILE or drain FILE");
    add_flag(command, "--once", options->once, "One pass, for cron: then wait for the commands that run");
    add_duration(command, "--patience", options->patience,
                 "After a TERM, how long to wait for commands that run before they are stopped (no limit)");
    add_duration(
        command, "--wait", options->wait,
        "How long to try while the server is away (10s); of drain, how long to wait for the tasks (0)");
    add_flag(command, "--undo", options->undo, "Of drain: put the slots back into service");
    on_chosen(command, [options, &chosen, &rest] {
        options->words.insert(options->words.end(), rest.begin(), rest.end());
        chosen = [options](Session& session) { return run_dispatch(*options, session); };
    });
}

}  // namespace sema
