#include "cli/commands/commands.hpp"
#include "cli/commands/run_job.hpp"
#include "cli/exit_status.hpp"
#include "cli/run/command.hpp"
#include "cli/run/environment.hpp"
#include "common/closest_word.hpp"

#include <algorithm>
#include <cctype>
#include <memory>
#include <set>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A word that is mistyped would be noticed when the lease is lost, and stop no command then.
Expected<void> check_on_lost(const std::string& what) {
    const bool is_word = std::all_of(what.begin(), what.end(), [](unsigned char c) {
        return c < 0x80 && (std::isalnum(c) != 0 || c == '-' || c == '_');
    });
    if (what == "term" || what == "ignore" || !is_word) return {};
    const ResolvedCommand found = resolve_command(what, current_search_path());
    if (std::holds_alternative<std::string>(found)) return {};
    const std::string meant = closest_word(what, {"term", "ignore"});
    return failure("--on-lost: '" + what + "' is not term, not ignore, and no command that is found" +
                   (meant.empty() ? "" : " (did you mean '" + meant + "'?)"));
}

// Why the options do not go with --lease, where they do not.
std::string fault_with_lease(const RunOptions& options) {
    const std::string begin = "--lease takes over a lease that is held already: ";
    if (options.pools.size() > 1) return begin + "it is of one pool";
    if (options.wait) return begin + "there is nothing to wait for (leave out --wait)";
    if (options.slots) return begin + "it has the slots that it has (leave out --slots)";
    if (options.priority) return begin + "it waits in no queue (leave out --priority)";
    if (!options.holder.empty()) return begin + "who borrowed it is shown as its holder (leave out --holder)";
    if (options.fall_back)
        return begin + "without it there is nothing to run CMD under (leave out --fallback)";
    return "";
}

int run_run(const RunOptions& options, const std::vector<std::string>& command, Session& session) {
    const auto fail = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::failed;
    };
    if (command.empty())
        return fail("no command to run (write it at the end: semactl run POOL -- CMD ARG...)");
    if (const auto usable = check_on_lost(options.on_lost); !usable) return fail(usable.error().message);
    const std::string fault = options.lease.empty() ? "" : fault_with_lease(options);
    if (!fault.empty()) return fail(fault);
    if (options.fence && options.lease.empty()) return fail("--fence goes with --lease: it is that lease's");
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
        // A pool that is given by its UUID is called as in the command's environment.
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

    std::optional<LeaseId> lease;
    if (!options.lease.empty()) {
        const auto named = resolve_lease(options.lease);
        if (!named) return fail(named.error().message);
        lease = *named;
        if (options.no_keepalive && !options.ttl && !pools.front().ttl)
            return fail(
                "--no-keepalive with --lease needs --ttl: that long from its start on CMD has the slot");
    }

    const ResolvedCommand resolved = resolve_command(command.front(), current_search_path());
    if (const auto* absent = std::get_if<CommandNotFound>(&resolved)) {
        session.console.error(absent->reason);
        return exit_status::not_found;
    }
    if (const auto* unusable = std::get_if<CommandNotExecutable>(&resolved)) {
        session.console.error(unusable->reason);
        return exit_status::not_executable;
    }
    RunJob job(options, session, std::move(pools), lease, std::get<std::string>(resolved), command);
    return options.dry_run ? job.describe() : job.run();
}

void add_lease_options(CLI::App& run, RunOptions& options) {
    add_ttl(run, options.ttl,
            "How long the slot stays lent if this machine dies: the lease is renewed meanwhile (60s)");
    add_duration(run, "--wait", options.wait, "How long to wait for a slot (5m; 0 means one try)");
    add_text(
        run, "--lease", options.lease, "LEASE",
        "Borrow nothing: run CMD under this lease, which somebody else borrowed (env:NAME, file:PATH or a "
        "UUID), renew it and return it");
    add_fence(run, options.fence, "With --lease: only if the lease has this fence");
    add_optional_number(run, "--slots", options.slots, "How many slots of each pool, all or none (1)",
                        {1, wire::largest_count});
    add_signed(run, "--priority", options.priority, "From -100 to 100: a higher number is served first (0)",
               {-100, 100});
    add_text(run, "--holder", options.holder, "NAME",
             "What `semactl holders` calls you (the CI job, or user@host:pid CMD)");
    add_flag(run, "--no-keepalive", options.no_keepalive,
             "Do not renew the lease: the command is stopped before its ttl ends");
}

void add_command_options(CLI::App& run, RunOptions& options) {
    add_text(run, "-I", options.token, "TOKEN", "Replace TOKEN with the slot's position in CMD's arguments");
    options.conflict_status = exit_status::no_slot;
    add_number(run, "-E,--conflict-exit-code", options.conflict_status,
               "Exit status when there was no slot (75)", {1, 255});
    add_duration(run, "--kill-after", options.kill_after,
                 "Kill the command this long after a signal asked it to stop (4s; 0 means never)");
    add_duration(
        run, "--grace", options.grace,
        "Time between TERM and KILL for a command whose lease ends (5s; at most a sixth of the ttl)");
    add_text(
        run, "--on-lost", options.on_lost, "WHAT",
        "When the lease is lost or about to end: term, ignore, or a shell command that stops CMD (term)");
    add_flag(run, "--die-with-parent", options.die_with_parent,
             "Leave the queue, or stop CMD, when the process that started semactl is gone");
    add_flag(run, "--hold-tree", options.hold_tree,
             "Hold the slot until the last of CMD's descendants has ended");
    add_text(run, "--teardown", options.teardown, "LINE",
             "A shell command to run after CMD, while the slot is still held");
    add_choice(
        run, "--fallback", {"fail", "run"},
        [&options](const std::string& what) { options.fall_back = what == "run"; }, "WHAT",
        "When the server cannot be reached: fail, or run CMD without a slot (fail)");
    add_flag(run, "--dry-run", options.dry_run, "Say what would be done, and do nothing");
}

}  // namespace

void setup_run(CLI::App& app, Invocation& chosen, const std::vector<std::string>& command) {
    const auto options = std::make_shared<RunOptions>();
    CLI::App& run = add_command(
        app, "run", "Run a command while it holds a slot",
        "The command finds SEMA_POSITION, SEMA_SLOT, SEMA_FENCE and more in its environment.\n\n"
        "Exit status: the command's own; 128+N ended by signal N; 75 no slot; 69 server unreachable; 66 no "
        "such pool; 79 lease lost; 125 other failure; 126 cannot be executed; 127 not found.\n\n"
        "Example: at most as many simulations at once as there are licences\n"
        "  semactl run vsim --wait 30m -- make sim\n"
        "Example: a job that a callback started, under the lease that it brought\n"
        "  semactl run vsim --lease env:SEMA_LEASE -- make sim");
    add_pools_and_command(run, options->pools);
    add_lease_options(run, *options);
    add_command_options(run, *options);
    on_chosen(run, [options, &command, &chosen] {
        chosen = [options, &command](Session& session) { return run_run(*options, command, session); };
    });
}

}  // namespace sema
