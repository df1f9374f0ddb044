#include "cli/commands/as_admin.hpp"
#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <memory>
#include <optional>
#include <utility>

namespace sema {
namespace {

constexpr const char* attempt = "list the pools";

struct PoolsOptions {
    std::optional<std::string> admin_token;
};

std::string render(const wire::PoolList& list, const Console& console) {
    if (console.output() == Output::json) return json_line(wire::to_json(list));
    const auto terminal = console.terminal();
    std::string text;
    for (const std::string& line : pool_list_table(list, terminal ? terminal->columns : 0))
        text += line + "\n";
    return console.in_locale(std::move(text));
}

int run_pools(const PoolsOptions& options, Session& session) {
    const auto token = admin_token(session, options.admin_token, attempt);
    if (!token) return exit_status::usage;
    return std::visit(
        Overloaded{
            [&](const wire::PoolList& list) { return print_result(session, render(list, session.console)); },
            [&](NotAdmin why) { return explain(session, why, *token, attempt, "lists its pools"); },
            [&](const auto& trouble) { return explain(session, trouble); }},
        session.client.pools(token->token));
}

}  // namespace

void setup_pools(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<PoolsOptions>();
    CLI::App& command = add_command(
        app, "pools", "Print all pools of the server (administrator)",
        "The token is the one in the file that semad was given with --admin-token-file. The pools' UUIDs "
        "are printed, and whoever has one can use the pool.\n\n"
        "Example:\n"
        "  semactl pools --admin-token file:/etc/semad/admin-token");
    add_admin_token(command, options->admin_token);
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_pools(*options, session); };
    });
}

}  // namespace sema
