#pragma once

#include "cli/arguments.hpp"
#include "cli/session.hpp"

#include <functional>
#include <variant>

namespace sema {

/// A subcommand that talks to a server, or one that doesn't; either returns the exit status.
using Invocation = std::variant<std::function<int(Session&)>, std::function<int(Console&)>>;

// Each adds one subcommand with its options. When the command line names it, `chosen` becomes what to do.

/// `command` is where the command and its arguments will be.
void setup_run(CLI::App& app, Invocation& chosen, const std::vector<std::string>& command);
void setup_borrow(CLI::App& app, Invocation& chosen);
void setup_return(CLI::App& app, Invocation& chosen);
void setup_keepalive(CLI::App& app, Invocation& chosen);
void setup_register(CLI::App& app, Invocation& chosen);
void setup_inspect(CLI::App& app, Invocation& chosen);
void setup_resize(CLI::App& app, Invocation& chosen);
void setup_holders(CLI::App& app, Invocation& chosen);
void setup_history(CLI::App& app, Invocation& chosen);
void setup_stats(CLI::App& app, Invocation& chosen);
void setup_callbacks(CLI::App& app, Invocation& chosen);
void setup_watch(CLI::App& app, Invocation& chosen);
void setup_revoke(CLI::App& app, Invocation& chosen);
void setup_slot(CLI::App& app, Invocation& chosen);
void setup_delete(CLI::App& app, Invocation& chosen);
void setup_new(CLI::App& app, Invocation& chosen);
void setup_ping(CLI::App& app, Invocation& chosen);
void setup_pools(CLI::App& app, Invocation& chosen);
void setup_backup(CLI::App& app, Invocation& chosen);
/// `rest` is where the words behind `--` will be.
void setup_dispatch(CLI::App& app, Invocation& chosen, const std::vector<std::string>& rest);
void setup_completion(CLI::App& app, Invocation& chosen);
/// For the list of commands alone: see with_help_as_flag().
void setup_help(CLI::App& app);

}  // namespace sema
