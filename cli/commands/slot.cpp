#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <algorithm>
#include <memory>

namespace sema {
namespace {

struct SlotOptions {
    std::string pool;
    unsigned position = 0;
    wire::SlotRequest request;
};

// The operator who takes a slot out has to know that a lease still uses it.
void note_lease(Session& session, const PoolRef& pool, unsigned position) {
    const auto answer = session.client.holders(pool.id);
    const auto* view = std::get_if<wire::PoolDetails>(&answer);
    if (view == nullptr) return;
    for (const auto& lease : view->holders) {
        const auto& positions = lease.positions;
        if (std::find(positions.begin(), positions.end(), position) == positions.end()) continue;
        session.console.note(pool.name + ": position " + std::to_string(position) + " is held by " +
                             describe_lease(lease) + ": that lease goes on");
    }
}

// The server says that there is no such slot, but not which there are.
int explain_refusal(Session& session, const PoolRef& pool, unsigned position, const Rejected& why) {
    const auto answer = session.client.inspect(pool.id);
    const auto* state = std::get_if<wire::PoolState>(&answer);
    if (state == nullptr || why.reason.find("no such slot") == std::string::npos)
        return explain(session, pool, why);
    session.console.error(no_such_position(pool, position, state->count));
    return exit_status::failed;
}

int run_slot(const SlotOptions& options, Session& session) {
    const auto refuse = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) return refuse(pool.error().message);
    if (options.request.reason && !options.request.out)
        return refuse("--reason says why a slot is out of service: it goes with `out` alone");
    return std::visit(Overloaded{[&](const wire::SlotState& state) {
                                     if (session.console.output() == Output::json)
                                         return print_result(session, json_line(wire::to_json(state)));
                                     if (state.out) note_lease(session, *pool, state.position);
                                     return exit_status::done;
                                 },
                                 [&](const Rejected& why) {
                                     return explain_refusal(session, *pool, options.position, why);
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.set_slot(pool->id, options.position, options.request));
}

}  // namespace

void setup_slot(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<SlotOptions>();
    CLI::App& command = add_command(
        app, "slot", "Take a slot out of service, or put it back",
        "A slot that is out of service is lent to nobody, however often semad is started anew. A lease that "
        "holds it goes on until it ends by itself: `semactl revoke` ends it at once.\n\n"
        "Example: a board is to be repaired, and is back\n"
        "  semactl slot boards 2 out --reason \"fan is broken\"\n"
        "  semactl slot boards 2 in");
    add_named_pool(command, options->pool);
    add_number(command, "POSITION", options->position, "The slot's number, from 0 on",
               {0, wire::largest_count - 1});
    add_choice(
        command, "STATE", {"out", "in"},
        [options](const std::string& word) { options->request.out = word == "out"; }, "",
        "out, for out of service, or in");
    add_optional_text(command, "--reason", options->request.reason, "TEXT",
                      "Why it is out of service, for people: `semactl holders` shows it");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_slot(*options, session); };
    });
}

}  // namespace sema
