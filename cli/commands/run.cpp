#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/overloaded.hpp"
#include "cli/run/acquire.hpp"
#include "cli/run/command.hpp"
#include "cli/run/environment.hpp"
#include "cli/run/supervisor.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <memory>
#include <system_error>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// Long enough for most builds of a moment, short enough that a crashed machine's slot is soon back.
constexpr Duration default_ttl = 60s;
// As long as a server lets a borrower wait unless told otherwise.
constexpr Duration default_wait = 5min;
// Stopping and returning must fit in the 7.5 s that CI systems leave between their first and second signal.
constexpr Duration default_kill_after = 5s;
constexpr Duration default_grace = 5s;

struct RunOptions {
    std::string pool;
    std::optional<Duration> ttl;
    std::optional<Duration> wait;
    std::optional<Duration> kill_after;
    std::optional<Duration> grace;
    std::string token;
    unsigned conflict_status = exit_status::no_slot;
    bool dry_run = false;
};

int fail(Session& session, const std::string& why) {
    session.console.error(why);
    return exit_status::failed;
}

int describe_run(Session& session, const RunOptions& options, const PoolRef& pool, Duration ttl,
                 Duration wait, const std::string& path, const std::vector<std::string>& command) {
    std::string text = "would borrow a slot of " + pool.name + " from " + session.client.server().name +
                       " for " + describe(ttl) + ", waiting up to " + describe(wait) + "\nwould run " + path;
    for (std::size_t i = 1; i < command.size(); ++i)
        text += " " + command[i];
    if (!options.token.empty()) text += "\nwith the position in place of " + options.token;
    return print_result(session, text + "\n");
}

// Runs the command while the lease is held, and returns the lease.
int run_holding(Session& session, const RunOptions& options, const PoolRef& pool, Duration ttl,
                const std::string& path, const std::vector<std::string>& command, HeldLease lease,
                Signals& signals) {
    const wire::LeaseGrant& granted = lease.grant().lease;
    const ChildSpec child{path, replace_token(command, options.token, std::to_string(granted.position)),
                          environment_with(granted, environ)};
    const Upkeep upkeep(term_of(lease.grant(), ttl), options.grace.value_or(default_grace));
    const Duration kill_after = options.kill_after.value_or(default_kill_after);
    Supervisor::Limits limits;
    if (kill_after > 0s) limits.kill_after = kill_after;
    limits.strangers = own_descendants();

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const auto started = start_child(child, signals, session.inherited);
    if (const auto* failure = std::get_if<ExecFailed>(&started)) {
        session.console.error("cannot execute " + path + ": " +
                              std::generic_category().message(failure->error));
        return exit_status::not_executable;
    }
    const Ended ended =
        Supervisor(std::get<pid_t>(started), upkeep, limits, signals, session.console, pool.name).run();
    if (ended.slot_is_free)
        lease.give_back();
    else
        lease.disown();
    return ended.exit_status;
}

int run_run(const RunOptions& options, const std::vector<std::string>& command, Session& session) {
    if (command.empty())
        return fail(session, "no command to run (write it at the end: semactl run POOL -- CMD ARG...)");
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) return fail(session, pool.error().message);

    const ResolvedCommand resolved = resolve_command(command.front(), current_search_path());
    if (const auto* absent = std::get_if<CommandNotFound>(&resolved)) {
        session.console.error(absent->reason);
        return exit_status::not_found;
    }
    if (const auto* unusable = std::get_if<CommandNotExecutable>(&resolved)) {
        session.console.error(unusable->reason);
        return exit_status::not_executable;
    }
    const auto& path = std::get<std::string>(resolved);

    const Duration ttl = options.ttl.value_or(pool->ttl.value_or(default_ttl));
    const Duration wait = options.wait.value_or(pool->wait.value_or(default_wait));
    if (options.dry_run) return describe_run(session, options, *pool, ttl, wait, path, command);

    Signals signals;
    Acquired acquired = acquire(session.client, session.console, *pool, {ttl, wait}, signals);
    return std::visit(
        Overloaded{[&](HeldLease& lease) {
                       return run_holding(session, options, *pool, ttl, path, command, std::move(lease),
                                          signals);
                   },
                   [](const Stopped& stopped) { return exit_status::of_signal(stopped.signal); },
                   [&](const NoSlot& none) {
                       explain(session, *pool, none);
                       return static_cast<int>(options.conflict_status);
                   },
                   [&](const auto& trouble) { return explain(session, *pool, trouble); }},
        acquired);
}

}  // namespace

void setup_run(CLI::App& app, Invocation& chosen, const std::vector<std::string>& command) {
    const auto options = std::make_shared<RunOptions>();
    CLI::App* run = app.add_subcommand("run", "Run a command while it holds a slot");
    add_pool(*run, options->pool);
    // For the help alone: the command's words never reach the parser (see part_command_line).
    run->add_option("CMD", "The command and its arguments, best behind --")->type_name("")->expected(0, 1);
    add_duration(*run, "--ttl", options->ttl,
                 "How long the slot is held at most: the command is stopped before that (60s)");
    add_duration(*run, "--wait", options->wait, "How long to wait for a slot (5m; 0 means one try)");
    run->add_option("-I", options->token, "Replace TOKEN with the slot's position in CMD's arguments")
        ->type_name("TOKEN");
    add_number(*run, "-E,--conflict-exit-code", options->conflict_status,
               "Exit status when there was no slot (75)", {1, 255});
    add_duration(*run, "--kill-after", options->kill_after,
                 "Kill the command this long after an INT or TERM was passed on to it (5s; 0 means never)");
    add_duration(
        *run, "--grace", options->grace,
        "Time between TERM and KILL for a command whose lease ends (5s; at most a third of the ttl)");
    run->add_flag("--dry-run", options->dry_run, "Say what would be done, and do nothing");
    run->footer(
        "The command finds SEMA_POSITION, SEMA_LEASE and SEMA_EXPIRES_AT in its environment.\n"
        "Exit status: the command's own; 128+N ended by signal N; 75 no slot; 69 server unreachable;\n"
        "66 no such pool; 79 lease lost; 125 other failure; 126 cannot be executed; 127 not found.\n\n"
        "Example: at most as many simulations at once as there are licences\n"
        "  semactl run vsim --ttl 2h --wait 30m -- make sim");
    run->callback([options, &command, &chosen] {
        if (options->ttl && *options->ttl <= 0s) throw CLI::ValidationError("--ttl", "must be more than 0");
        chosen = [options, &command](Session& session) { return run_run(*options, command, session); };
    });
}

}  // namespace sema
