#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/overloaded.hpp"
#include "cli/run/acquire.hpp"
#include "cli/run/environment.hpp"

#include <memory>

namespace sema {
namespace {

using namespace std::chrono_literals;

struct BorrowOptions {
    std::string pool;
    std::optional<Duration> ttl;
    std::optional<Duration> wait;
    bool shell = false;
};

std::string render(const wire::LeaseGrant& lease, bool shell, Output output) {
    if (shell) {
        // Digits, letters and hyphens: nothing that a shell would read as more than text.
        std::string text;
        for (const auto& [name, value] : lease_variables(lease))
            text.append("export ").append(name).append("=").append(value).append("\n");
        return text;
    }
    if (output == Output::json) return wire::to_json(lease) + "\n";
    return "lease            " + lease.lease.str() + "\nposition         " + std::to_string(lease.position) +
           "\nexpires_at_unix  " + std::to_string(lease.expires_at_unix) + "\nexpires_in       " +
           std::to_string(lease.expires_in) + "\n";
}

int run_borrow(const BorrowOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    const auto fail = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    if (!pool) return fail(pool.error().message);
    const auto ttl = options.ttl ? options.ttl : pool->ttl;
    if (!ttl)
        return fail("borrow needs --ttl: after that time the slot is free again even if nobody returns it");

    Signals signals;
    Acquired acquired = acquire(session.client, session.console, *pool,
                                {*ttl, options.wait.value_or(pool->wait.value_or(0s))}, signals);
    return std::visit(
        Overloaded{[&](HeldLease& lease) {
                       const int status = print_result(
                           session, render(lease.grant().lease, options.shell, session.console.output()));
                       // A lease that nobody got to know of is returned.
                       if (status == exit_status::done) lease.disown();
                       return status;
                   },
                   [](const Stopped& stopped) { return exit_status::of_signal(stopped.signal); },
                   [&](const auto& trouble) { return explain(session, *pool, trouble); }},
        acquired);
}

}  // namespace

void setup_borrow(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<BorrowOptions>();
    CLI::App* borrow = app.add_subcommand("borrow", "Borrow a slot and print its lease");
    add_pool(*borrow, options->pool);
    add_duration(*borrow, "--ttl", options->ttl, "How long the slot is held unless it is returned before");
    add_duration(*borrow, "--wait", options->wait, "How long to wait for a slot (0: one try)");
    borrow->add_flag("--shell", options->shell, "Print `export SEMA_...` lines for a shell to evaluate");
    borrow->footer(
        "Example: hold a slot over several steps of a script\n"
        "  lease=$(semactl borrow vsim --ttl 10m --wait 5m --shell) || exit\n"
        "  eval \"$lease\"\n"
        "  trap 'semactl return vsim env:SEMA_LEASE' EXIT");
    borrow->callback([options, &chosen] {
        if (options->ttl && *options->ttl <= 0s) throw CLI::ValidationError("--ttl", "must be more than 0");
        chosen = [options](Session& session) { return run_borrow(*options, session); };
    });
}

}  // namespace sema
