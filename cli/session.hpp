#pragma once

#include "cli/client.hpp"
#include "cli/config.hpp"
#include "cli/console.hpp"
#include "cli/pool_ref.hpp"
#include "cli/run/child.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace sema {

/// What the options before the subcommand say.
struct GlobalOptions {
    std::optional<std::string> server;
    std::optional<std::string> config;
    Output output = Output::text;
    Verbosity verbosity = Verbosity::normal;
    /// The subcommand may make a configuration file: a named one need not be there yet.
    bool creates_config = false;
};

/// What a subcommand works with.
struct Session {
    Console& console;
    const Config& config;
    Client& client;
    const InheritedDescriptors& inherited;
};

/// Prints why a call did not succeed, and returns the exit status for it.
int explain(Session& session, const PoolRef& pool, const NoSuchPool&);
int explain(Session& session, const PoolRef& pool, const NoSlot& none);
int explain(Session& session, const PoolRef& pool, const NotRenewable&);
int explain(Session& session, const PoolRef& pool, const Busy& why);
int explain(Session& session, const PoolRef& pool, const Unreachable& why);
int explain(Session& session, const PoolRef& pool, const Rejected& why);
/// The same where it is not about a pool.
int explain(Session& session, const Busy& why);
int explain(Session& session, const Unreachable& why);
int explain(Session& session, const Rejected& why);

/// Says that a lease is not held any more, and why as far as that can be known. `what` was not done
/// therefore.
void note_not_held(Session& session, const PoolRef& pool, const std::string& what);

/// Prints a note where a pool has no slots, which is rarely meant.
void note_if_empty(Session& session, const PoolRef& pool, const wire::PoolState& state);

/// Prints a result, and gives the exit status `done`; another one where stdout did not take it.
int print_result(Session& session, std::string_view text);

/// The four keys of a pool's state, as lines for people or as the JSON object.
std::string render(const wire::PoolState& state, Output output);

/// A lease, as lines for people or as the JSON object. The slots' payloads are exact only in the latter.
std::string render(const wire::LeaseGrant& lease, Output output);

}  // namespace sema
