#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <memory>
#include <utility>

namespace sema {
namespace {

// Slots that rest or are out of service: the state does not say what becomes of them.
std::string others(Session& session, const PoolRef& pool, const wire::PoolState& state) {
    if (session.console.output() == Output::json || state.available >= state.count) return "";
    const auto answer = session.client.holders(pool.id);
    const auto* view = std::get_if<wire::PoolDetails>(&answer);
    if (view == nullptr) return "";
    std::string text;
    if (!view->resting.empty())
        text += "resting    " + std::to_string(view->resting.size()) + " (for the cooldown of " +
                describe(view->settings.cooldown) + ")\n";
    if (view->out.empty()) return text;
    text += "out        " + std::to_string(view->out.size()) + "\n";
    for (const wire::SlotState& slot : view->out)
        text += "  position " + std::to_string(slot.position) + " is " + describe_out(slot) + "\n";
    return session.console.in_locale(std::move(text));
}

struct InspectOptions {
    std::string pool;
};

int run_inspect(const InspectOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    return std::visit(Overloaded{[&](const wire::PoolState& state) {
                                     return print_result(session, render(state, session.console.output()) +
                                                                      others(session, *pool, state));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.inspect(pool->id));
}

}  // namespace

void setup_inspect(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<InspectOptions>();
    CLI::App& command = add_command(app, "inspect", "Print how many slots a pool has, and are lent",
                                    "Example: how many slots are free, for a script\n"
                                    "  semactl --output json inspect vsim | jq .available");
    add_pool(command, options->pool);
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_inspect(*options, session); };
    });
}

}  // namespace sema
