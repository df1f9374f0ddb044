#include "cli/commands/commands.hpp"
#include "cli/commands/run_job.hpp"
#include "cli/exit_status.hpp"
#include "cli/run/command.hpp"
#include "cli/run/environment.hpp"

#include <memory>
#include <set>

namespace sema {
namespace {

using namespace std::chrono_literals;

int run_run(const RunOptions& options, const std::vector<std::string>& command, Session& session) {
    const auto fail = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::failed;
    };
    if (command.empty())
        return fail("no command to run (write it at the end: semactl run POOL -- CMD ARG...)");
    if (options.on_lost.empty()) return fail("--on-lost needs term, ignore or a shell command");
    std::vector<PoolRef> pools;
    std::set<PoolId> seen;
    std::set<std::string> parts;
    for (const std::string& text : options.pools) {
        auto pool = resolve_pool(text, session.config);
        if (!pool)
            return fail(
                pool.error().message +
                (pools.empty() ? "" : " (all words before -- are pools: write it before the command)"));
        const std::string part = variable_part(pool->name, pools.size() + 1);
        // What has no name of its own is called as in the command's environment.
        if (options.pools.size() > 1 && PoolId::parse(text)) pool->name = part;
        if (!seen.insert(pool->id).second)
            return fail(pool->name + ": the pool is named twice (--slots takes several)");
        if (!parts.insert(part).second)
            return fail(pool->name + ": another pool has the variables SEMA_" + part +
                        "_... already (give one of them another alias)");
        pools.push_back(std::move(*pool));
    }
    if (options.no_keepalive && pools.size() > 1)
        return fail(
            "--no-keepalive is for one pool: the first slot's lease would end while the next is waited for");

    const ResolvedCommand resolved = resolve_command(command.front(), current_search_path());
    if (const auto* absent = std::get_if<CommandNotFound>(&resolved)) {
        session.console.error(absent->reason);
        return exit_status::not_found;
    }
    if (const auto* unusable = std::get_if<CommandNotExecutable>(&resolved)) {
        session.console.error(unusable->reason);
        return exit_status::not_executable;
    }
    RunJob job(options, session, std::move(pools), std::get<std::string>(resolved), command);
    return options.dry_run ? job.describe() : job.run();
}

void add_lease_options(CLI::App& run, RunOptions& options) {
    add_duration(run, "--ttl", options.ttl,
                 "How long the slot stays lent if this machine dies: the lease is renewed meanwhile (60s)");
    add_duration(run, "--wait", options.wait, "How long to wait for a slot (5m; 0 means one try)");
    add_optional_number(run, "--slots", options.slots, "How many slots of each pool, all or none (1)", {1});
    add_signed(run, "--priority", options.priority,
               "From -100 to 100: who has a higher one is served before (0)", {-100, 100});
    run.add_option("--holder", options.holder,
                   "What `semactl holders` calls you (the CI job, or user@host:pid CMD)")
        ->type_name("NAME");
    run.add_flag("--no-keepalive", options.no_keepalive,
                 "Do not renew the lease: the command is stopped before its ttl ends");
}

void add_command_options(CLI::App& run, RunOptions& options) {
    run.add_option("-I", options.token, "Replace TOKEN with the slot's position in CMD's arguments")
        ->type_name("TOKEN");
    options.conflict_status = exit_status::no_slot;
    add_number(run, "-E,--conflict-exit-code", options.conflict_status,
               "Exit status when there was no slot (75)", {1, 255});
    add_duration(run, "--kill-after", options.kill_after,
                 "Kill the command this long after an INT or TERM was passed on to it (5s; 0 means never)");
    add_duration(
        run, "--grace", options.grace,
        "Time between TERM and KILL for a command whose lease ends (5s; at most a third of the ttl)");
    run.add_option(
           "--on-lost", options.on_lost,
           "When the lease is gone before its time: term, ignore, or a shell command that stops CMD (term)")
        ->type_name("WHAT");
    run.add_flag("--hold-tree", options.hold_tree,
                 "Hold the slot until the last of CMD's descendants has ended");
    run.add_option("--teardown", options.teardown,
                   "A shell command to run after CMD, while the slot is still held")
        ->type_name("LINE");
    run.add_option_function<std::string>(
           "--fallback", [&options](const std::string& what) { options.fall_back = what == "run"; },
           "When the server cannot be reached: fail, or run CMD without a slot (fail)")
        ->check(CLI::IsMember({"fail", "run"}))
        ->type_name("WHAT");
    run.add_flag("--dry-run", options.dry_run, "Say what would be done, and do nothing");
}

}  // namespace

void setup_run(CLI::App& app, Invocation& chosen, const std::vector<std::string>& command) {
    const auto options = std::make_shared<RunOptions>();
    CLI::App* run = app.add_subcommand("run", "Run a command while it holds a slot");
    run->add_option("POOL", options->pools, "Pools' UUIDs, aliases, env:NAME or file:PATH")
        ->required()
        ->envname("SEMACTL_POOL")
        ->type_name("");
    // For the help alone: the command's words never reach the parser (see part_command_line).
    run->add_option("CMD", "The command and its arguments, behind --")->type_name("")->expected(0, 1);
    add_lease_options(*run, *options);
    add_command_options(*run, *options);
    run->footer(
        "The command finds SEMA_POSITION, SEMA_SLOT, SEMA_FENCE and more in its environment.\n"
        "Exit status: the command's own; 128+N ended by signal N; 75 no slot; 69 server unreachable;\n"
        "66 no such pool; 79 lease lost; 125 other failure; 126 cannot be executed; 127 not found.\n\n"
        "Example: at most as many simulations at once as there are licences\n"
        "  semactl run vsim --wait 30m -- make sim");
    run->callback([options, &command, &chosen] {
        if (options->ttl && *options->ttl <= 0s) throw CLI::ValidationError("--ttl", "must be more than 0");
        chosen = [options, &command](Session& session) { return run_run(*options, command, session); };
    });
}

}  // namespace sema
