#include "cli/admin_token.hpp"
#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <memory>
#include <optional>
#include <utility>

namespace sema {
namespace {

struct PoolsOptions {
    std::optional<std::string> admin_token;
};

std::string render(const wire::PoolList& list, const Console& console) {
    if (console.output() == Output::json) return wire::to_json(list) + "\n";
    const auto terminal = console.terminal();
    std::string text;
    for (const std::string& line : pool_list_table(list, terminal ? terminal->columns : 0))
        text += line + "\n";
    return console.in_locale(std::move(text));
}

std::string denial(NotAdmin why, const AdminToken& token, const std::string& server) {
    switch (why) {
        case NotAdmin::wrong_token:
            return server + " does not take the admin token of " + token.source +
                   " (it has to be the one in the file that semad was given with --admin-token-file)";
        case NotAdmin::no_token_came:
            return server + " says that no admin token came, though the one of " + token.source +
                   " was sent (does a proxy drop or replace the Authorization header?)";
        case NotAdmin::no_administrator:
            break;
    }
    return server + " lists its pools for nobody (start semad with --admin-token-file FILE)";
}

int run_pools(const PoolsOptions& options, Session& session) {
    if (options.admin_token == "") {
        session.console.error("--admin-token needs env:NAME or file:PATH");
        return exit_status::usage;
    }
    const auto token = resolve_admin_token(options.admin_token.value_or(""), session.config);
    if (!token) {
        session.console.error("cannot list the pools: " + token.error().message);
        return exit_status::usage;
    }
    return std::visit(Overloaded{[&](const wire::PoolList& list) {
                                     return print_result(session, render(list, session.console));
                                 },
                                 [&](NotAdmin why) {
                                     session.console.error("cannot list the pools: " +
                                                           denial(why, *token, session.client.server().name));
                                     return exit_status::failed;
                                 },
                                 [&](const auto& trouble) { return explain(session, trouble); }},
                      session.client.pools(token->token));
}

}  // namespace

void setup_pools(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<PoolsOptions>();
    CLI::App& command = add_command(
        app, "pools", "Print all pools of the server, for its administrator",
        "The token is the one in the file that semad was given with --admin-token-file. The pools' UUIDs "
        "are printed, and whoever has one can use the pool.\n\n"
        "Example:\n"
        "  semactl pools --admin-token file:/etc/semad/admin-token");
    add_optional_text(command, "--admin-token", options->admin_token, "TOKEN",
                      "The server's admin token: env:NAME or file:PATH ($SEMACTL_ADMIN_TOKEN)");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_pools(*options, session); };
    });
}

}  // namespace sema
