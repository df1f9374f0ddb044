#pragma once

#include "common/wire.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sema {

/// What a command finds out about its lease, as names and values of environment variables. The payload among
/// them is any text, but for NUL characters, which no variable can hold: they are left out.
std::vector<std::pair<std::string, std::string>> lease_variables(const wire::LeaseGrant& lease);

/// The same under names of one of several pools: SEMA_VSIM_POSITION for `pool` "VSIM".
std::vector<std::pair<std::string, std::string>> pool_variables(const std::string& pool,
                                                                const wire::LeaseGrant& lease);

/// How a pool is called in the names of variables: its alias in capitals, with `_` for what cannot be in
/// them. One without an alias is called by its `number` on the command line: POOL1, POOL2, ...
std::string variable_part(const std::string& pool_name, std::size_t number);

/// `inherited` (entries of the form NAME=VALUE) with the variables in it. What an outer `semactl run`
/// exported of the pools that are called `own` in the names of variables, and of the first one it held, is
/// gone; what it exported of others stays, since it holds those still.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& variables,
                                          const std::vector<std::string>& own, const char* const* inherited);

/// The variable that lists the pools of which `semactl run`, or a shell that borrowed, and the runs around it
/// hold slots: a mark for each, with spaces between. A mark distinguishes a pool from others, and is too
/// short to find its UUID by.
inline constexpr const char* held_variable = "SEMA_HELD";
/// `held` with this pool's mark.
std::string held_with(std::string held, const PoolId& pool);
bool is_held(std::string_view held, const PoolId& pool);
/// How many pools it lists.
int count_held(std::string_view held);

/// By which a dispatcher names the pool to a semactl of its own, since a UUID stands on no command line. It
/// goes to no command: environment_with() leaves it out.
inline constexpr const char* dispatch_pool_variable = "SEMA_DISPATCH_POOL";

/// The text as one word of a Bourne shell, whatever is in it.
std::string shell_word(std::string_view text);

}  // namespace sema
