#pragma once

#include "cli/config.hpp"
#include "common/ids.hpp"

#include <optional>
#include <string>

namespace sema {

/// A pool that the command line names.
struct PoolRef {
    PoolId id;
    /// What messages call it: the word that was typed, or "the pool" where that was the secret UUID.
    std::string name;
    /// What stands for it in a command line that a message proposes.
    std::string argument;
    /// It was saved in the configuration file: its UUID is hardly mistyped.
    bool is_alias = false;
    /// The configuration file's defaults for this pool.
    std::optional<Duration> ttl{};
    std::optional<Duration> wait{};
};

/// Stands for whatever pool $SEMACTL_POOL names.
inline constexpr const char* pool_of_environment = "$SEMACTL_POOL";

/// Reads a pool as it is written on a command line: a UUID, an alias of the configuration file, `env:NAME`
/// (the UUID stands in that environment variable) or `file:PATH` (on that file's first line); or
/// `pool_of_environment`, where that is written in the variable. Error texts repeat no UUID, nothing that
/// looks like one that was mistyped, and no variable's value.
Expected<PoolRef> resolve_pool(const std::string& text, const Config& config);

/// What to do where the server knows no such pool.
std::string advice_if_absent(const PoolRef& pool);

/// Reads a lease's UUID, given as it is, or as `env:NAME` or `file:PATH`.
Expected<LeaseId> resolve_lease(const std::string& text);

/// Whether `name` can be an alias: letters, digits, `-` and `_`, and no UUID.
bool is_alias_name(const std::string& name);

}  // namespace sema
