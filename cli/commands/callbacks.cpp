#include "cli/commands/commands.hpp"
#include "cli/commands/insist.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <memory>
#include <utility>

namespace sema {
namespace {

struct CallbacksOptions {
    std::string pool;
    std::string cancel;
};

std::string render(const wire::CallbackList& list, const PoolRef& pool, const Console& console) {
    if (console.output() == Output::json) return json_line(wire::to_json(list));
    TableLayout layout;
    if (const auto terminal = console.terminal()) {
        layout.links = TableLayout::Links::hyperlink;
        layout.columns = terminal->columns;
    }
    std::string text;
    for (const std::string& line : callback_table(list, pool.name, layout))
        text += line + "\n";
    return console.in_locale(std::move(text));
}

int report(Session& session, const PoolRef& pool, const wire::Cancelled& answer) {
    const std::string text = session.console.output() == Output::json ? json_line(wire::to_json(answer)) : "";
    if (!answer.cancelled)
        session.console.note(pool.name +
                             ": not cancelled: nobody waits for that lease, or is being called (once the "
                             "call was taken, `semactl return` returns it)");
    const int status = print_result(session, text);
    return status == exit_status::done && !answer.cancelled ? exit_status::no : status;
}

int cancel(const PoolRef& pool, const LeaseId& lease, Session& session) {
    const auto answer = insist(session, pool, usual_insistence,
                               [&](Duration limit) { return session.client.cancel(pool.id, lease, limit); });
    return std::visit(Overloaded{[&](const wire::Cancelled& done) { return report(session, pool, done); },
                                 [&](const auto& trouble) { return explain(session, pool, trouble); }},
                      answer);
}

int run_callbacks(const CallbacksOptions& options, Session& session) {
    const auto fail = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) return fail(pool.error().message);
    if (!options.cancel.empty()) {
        const auto lease = resolve_lease(options.cancel);
        if (!lease) return fail(lease.error().message);
        return cancel(*pool, *lease, session);
    }
    return std::visit(Overloaded{[&](const wire::CallbackList& list) {
                                     return print_result(session, render(list, *pool, session.console));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.callbacks(pool->id));
}

}  // namespace

void setup_callbacks(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<CallbacksOptions>();
    CLI::App& command = add_command(app, "callbacks", "Print who is to be called, or cancel that",
                                    "Those that wait have a rank; those that have a slot are being called.\n"
                                    "Exit status 1 means that there was nothing to cancel.\n\n"
                                    "Example: why has the job not started?\n"
                                    "  semactl callbacks vsim");
    add_pool(command, options->pool);
    add_text(
        command, "--cancel", options->cancel, "LEASE",
        "Leave the queue, or end the calls, by the lease that `semactl borrow --callback` printed: a UUID, "
        "env:NAME or file:PATH");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_callbacks(*options, session); };
    });
}

}  // namespace sema
