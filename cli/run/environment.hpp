#pragma once

#include "common/wire.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sema {

/// What a holder is told of its lease, as names and values of environment variables. The payload among them
/// is any text, but for NUL characters, which no variable can hold: they are left out.
std::vector<std::pair<std::string, std::string>> lease_variables(const wire::LeaseGrant& lease);

/// The same under names of one of several pools: SEMA_VSIM_POSITION for `pool` "VSIM".
std::vector<std::pair<std::string, std::string>> pool_variables(const std::string& pool,
                                                                const wire::LeaseGrant& lease);

/// How a pool is called in the names of variables: its alias in capitals, with `_` for what cannot be in
/// them. One without an alias is called by its `number` on the command line: POOL1, POOL2, ...
std::string variable_part(const std::string& pool_name, std::size_t number);

/// `inherited` (entries of the form NAME=VALUE) with the variables in it. What an outer `semactl run`
/// exported is gone.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& variables,
                                          const char* const* inherited);

/// The text as one word of a Bourne shell, whatever is in it.
std::string shell_word(std::string_view text);

}  // namespace sema
