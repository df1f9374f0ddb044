#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <csignal>
#include <memory>

namespace sema {
namespace {

struct NewOptions {
    unsigned count = 1;
    SettingsChange settings;
    std::string save;
};

int save_and_print(const NewOptions& options, Session& session, const wire::PoolState& state) {
    const bool json = session.console.output() == Output::json;
    // Printed first: what could not be saved is not lost. And a reader that is gone is no reason not to save.
    std::signal(SIGPIPE, SIG_IGN);
    const int status = print_result(session, json ? render(state, Output::json) : state.id.str() + "\n");
    if (options.save.empty()) {
        // A pool whose UUID could not be printed is of no use.
        if (status != exit_status::done) session.client.remove(state.id);
        return status;
    }
    if (const auto saved = save_alias(session.config.path, options.save, state.id.str()); !saved) {
        session.console.error(saved.error().message);
        return exit_status::failed;
    }
    session.console.note(options.save + ": saved in " + session.config.path.string());
    return status;
}

int run_new(const NewOptions& options, Session& session) {
    const auto refuse = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    if (!options.save.empty()) {
        if (!is_alias_name(options.save)) return refuse("--save: a name is made of letters, digits, - and _");
        if (session.config.path.empty())
            return refuse("--save: there is no place for a configuration file (give --config, or set HOME)");
        if (!session.config.unreadable.empty())
            return refuse("--save: " + (session.config.is_unreadable_said
                                            ? session.config.path.string() + " cannot be read"
                                            : session.config.unreadable));
        if (session.config.pools.count(options.save) != 0)
            return refuse(options.save + ": " + session.config.path.string() +
                          " has a pool of that name already (semactl delete " + options.save +
                          " --forget deletes that pool and frees the name; to keep the pool, take its line "
                          "out)");
    }
    const bool saved = !options.save.empty();
    const PoolRef pool{.id = PoolId::random(),
                       .name = saved ? options.save : "the new pool",
                       .argument = saved ? options.save : "POOL"};
    return std::visit(
        Overloaded{[&](const wire::PoolState& state) {
                       const int status = save_and_print(options, session, state);
                       if (status == exit_status::done) note_if_empty(session, pool, state);
                       return status;
                   },
                   [&](const auto& trouble) { return explain(session, pool, trouble); }},
        session.client.register_pool(pool.id, {.count = options.count, .settings = options.settings}));
}

}  // namespace

void setup_new(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<NewOptions>();
    CLI::App& command = add_command(app, "new", "Make a pool with a fresh UUID and print that",
                                    "The UUID is a secret: whoever has it can use the pool.\n\n"
                                    "Example: a pool for four licences, to be called vsim from now on\n"
                                    "  semactl new --count 4 --save vsim");
    add_number(command, "--count", options->count, "How many slots the pool has (1)",
               {0, wire::largest_count});
    add_optional_text(command, "--name", options->settings.name, "S", "What the pool is called, for people");
    add_text(command, "--save", options->save, "NAME",
             "Save the UUID in the configuration file, under this alias");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_new(*options, session); };
    });
}

}  // namespace sema
