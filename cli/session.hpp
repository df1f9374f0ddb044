#pragma once

#include "cli/config.hpp"
#include "cli/console.hpp"
#include "cli/pool_ref.hpp"
#include "cli/run/child.hpp"
#include "client/client.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace sema {

/// What the options before the subcommand say.
struct GlobalOptions {
    std::optional<std::string> server;
    std::optional<std::string> cacert;
    std::optional<std::string> cert;
    std::optional<std::string> key;
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
    /// The process that started semactl.
    pid_t parent;
};

/// Prints why a call did not succeed, and returns the exit status for it.
int explain(Session& session, const PoolRef& pool, const NoSuchPool&);
/// `wait` is how long the borrower was ready to wait.
int explain(Session& session, const PoolRef& pool, const NoSlot& none, Duration wait);
int explain(Session& session, const PoolRef& pool, const NotRenewable&);
int explain(Session& session, const PoolRef& pool, const Busy& why);
int explain(Session& session, const PoolRef& pool, const Unreachable& why);
int explain(Session& session, const PoolRef& pool, const Rejected& why);
/// The same where it is not about a pool.
int explain(Session& session, const Busy& why);
int explain(Session& session, const Unreachable& why);
int explain(Session& session, const Rejected& why);

/// That a pool of so many slots has none at this position.
std::string no_such_position(const PoolRef& pool, unsigned position, unsigned count);

/// Whether a pool would have more slots than the server allows, or fewer than none; and what it allows.
bool is_count_out_of_range(const Rejected& why);
inline constexpr const char* count_range =
    " (a pool has 0 to 1000 slots, unless the server was started with another --max-count)";

/// Says that a lease is not held any more, and why as far as that can be known. `what` was not done
/// therefore.
void note_not_held(Session& session, const PoolRef& pool, const std::string& what);

/// Prints a note where a pool has no slots, which is rarely meant.
void note_if_empty(Session& session, const PoolRef& pool, const wire::PoolState& state);

/// Prints a result, and gives the exit status `done`; another one where stdout did not take it. That is said,
/// but for a pipe whose reader is gone: then it is the status of the signal PIPE, also where that is ignored.
int print_result(Console& console, std::string_view text);
int print_result(Session& session, std::string_view text);

/// What a shell is to evaluate where `borrow` has no lease for it. Where that is nothing it calls it a
/// success, and a script would go on without a slot.
std::string failure_line(int status);

/// The four keys of a pool's state, as lines for people or as the JSON object.
std::string render(const wire::PoolState& state, Output output);

/// The place of a borrower that is to be called, as lines for people or as the JSON object.
std::string render(const wire::BorrowQueued& place, Output output);

/// A lease, as lines for people or as the JSON object. The slots' payloads are exact only in the latter.
std::string render(const wire::LeaseGrant& lease, Output output);

}  // namespace sema
