#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

// No pool is ever so large that a step of this size fits.
constexpr std::int64_t largest_step = std::numeric_limits<std::uint32_t>::max();

struct ResizeOptions {
    std::string pool;
    std::optional<std::int64_t> by;
};

int run_resize(const ResizeOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    return std::visit(Overloaded{[&](const wire::PoolState& state) {
                                     return print_result(session, render(state, session.console.output()));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.resize(pool->id, *options.by));
}

}  // namespace

void setup_resize(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<ResizeOptions>();
    CLI::App& command = add_command(
        app, "resize", "Change how many slots a pool has by so many",
        "Safe where several do it at once: each change counts. Leases that are held stay valid, however "
        "small "
        "the count becomes.\n\n"
        "Example: one licence is out of order\n"
        "  semactl resize vsim -1");
    add_named_pool(command, options->pool);
    add_signed(command, "N", options->by, "How many slots come (2 or +2) or go (-2)",
               {-largest_step, largest_step});
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_resize(*options, session); };
    });
}

}  // namespace sema
