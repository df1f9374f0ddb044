#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct ResizeOptions {
    std::string pool;
    std::string change;
};

Expected<std::int64_t> change_of(const std::string& text, const PoolRef& pool) {
    const auto number = parse_signed(text, {-std::int64_t{wire::largest_count}, wire::largest_count});
    if (!number) return failure("N: " + number.error().message);
    if (text.front() == '+' || text.front() == '-') return number;
    return failure("N: " + text + " has no sign: write +" + text + " or -" + text +
                   " for so many slots more or less, or semactl register " + pool.argument + " --count " +
                   text + " for so many in all");
}

std::string render(const wire::PoolState& state, std::int64_t change, Output output) {
    const std::string text = sema::render(state, output);
    if (output == Output::json) return text;
    const std::string now = std::to_string(state.count);
    const std::string before = std::to_string(state.count - change);
    return std::string(text).replace(text.find(now), now.size(), before + " -> " + now);
}

// The server says that the pool would have too few or too many slots, but not how many it has.
int explain_refusal(Session& session, const PoolRef& pool, std::int64_t change, const Rejected& why) {
    const auto answer = session.client.inspect(pool.id);
    const auto* state = std::get_if<wire::PoolState>(&answer);
    if (state == nullptr || !is_count_out_of_range(why)) return explain(session, pool, why);
    const std::int64_t count = state->count;
    session.console.error(pool.name + ": it has " + std::to_string(count) +
                          (count == 1 ? " slot" : " slots") + ", and cannot have " +
                          std::to_string(count + change) + count_range);
    return exit_status::failed;
}

int run_resize(const ResizeOptions& options, Session& session) {
    const auto refuse = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) return refuse(pool.error().message);
    const auto change = change_of(options.change, *pool);
    if (!change) return refuse(change.error().message);
    return std::visit(
        Overloaded{[&](const wire::PoolState& state) {
                       return print_result(session, render(state, *change, session.console.output()));
                   },
                   [&](const Rejected& why) { return explain_refusal(session, *pool, *change, why); },
                   [&](const auto& trouble) { return explain(session, *pool, trouble); }},
        session.client.resize(pool->id, *change));
}

}  // namespace

void setup_resize(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<ResizeOptions>();
    CLI::App& command = add_command(
        app, "resize", "Change how many slots a pool has by so many",
        "Safe where several do it at once: each change counts. Leases that are held stay valid, however "
        "small the count becomes.\n\n"
        "Example: one licence fewer\n"
        "  semactl resize vsim -1");
    add_named_pool(command, options->pool);
    add_text(command, "N", options->change, "", "How many slots come (+2) or go (-2)");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_resize(*options, session); };
    });
}

}  // namespace sema
