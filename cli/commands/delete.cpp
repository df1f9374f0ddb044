#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct DeleteOptions {
    std::string pool;
    bool forget = false;
    bool yes = false;
};

// Takes the alias out of the configuration file, or says that it is there yet. Whether all went well.
bool see_to_alias(const DeleteOptions& options, Session& session, const std::string& alias) {
    const std::string path = session.config.path.string();
    if (!options.forget) {
        session.console.note(alias + ": the alias is in " + path + " still (semactl delete " + alias +
                             " --forget takes it out)");
        return true;
    }
    const auto forgotten = forget_alias(session.config.path, alias);
    if (forgotten)
        session.console.note(alias + ": taken out of " + path);
    else
        session.console.error(forgotten.error().message);
    return forgotten.has_value();
}

int remove(const DeleteOptions& options, Session& session, const PoolRef& pool, bool is_alias) {
    return std::visit(
        Overloaded{[&](const wire::Deleted& answer) {
                       const std::string text =
                           session.console.output() == Output::json ? json_line(wire::to_json(answer)) : "";
                       if (!answer.deleted)
                           session.console.note(pool.name + ": there is no such pool on " +
                                                session.client.server().name);
                       const int status = print_result(session, text);
                       if (is_alias && !see_to_alias(options, session, pool.argument))
                           return exit_status::failed;
                       return status == exit_status::done && !answer.deleted ? exit_status::no : status;
                   },
                   [&](const auto& trouble) { return explain(session, pool, trouble); }},
        session.client.remove(pool.id));
}

// Whether the user confirms that its leases and waiters go with it. A pool without any is deleted unasked.
bool is_meant(Session& session, const PoolRef& pool) {
    const auto answer = session.client.holders(pool.id);
    const auto* view = std::get_if<wire::PoolDetails>(&answer);
    if (view == nullptr || (view->in_use == 0 && view->queue.empty())) return true;
    return session.console.is_confirmed(pool.name + ": " + std::to_string(view->in_use) + " in use, " +
                                        std::to_string(view->queue.size()) +
                                        " waiting: delete the pool with all that?");
}

int run_delete(const DeleteOptions& options, Session& session) {
    const auto refuse = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) return refuse(pool.error().message);
    const bool is_alias = session.config.pools.count(pool->argument) != 0;
    if (options.forget && !is_alias)
        return refuse("--forget: " + pool->name + " is no alias of the configuration file");
    if (!options.yes && session.console.can_ask() && !is_meant(session, *pool)) {
        session.console.note(pool->name + ": nothing was deleted");
        return exit_status::no;
    }
    return remove(options, session, *pool, is_alias);
}

}  // namespace

void setup_delete(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<DeleteOptions>();
    CLI::App& command = add_command(
        app, "delete", "Delete a pool with all its leases",
        "Its waiters get the answer that there is no such pool. On a terminal it asks where the pool is in "
        "use. Exit status 1 means that nothing was deleted.\n\n"
        "Example:\n"
        "  semactl delete vsim");
    add_pool(command, options->pool);
    add_flag(command, "--forget", options->forget,
             "Take the pool's alias out of the configuration file, too");
    add_flag(command, "-y,--yes", options->yes, "Do not ask");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_delete(*options, session); };
    });
}

}  // namespace sema
