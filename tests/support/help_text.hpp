#pragma once

#include <set>
#include <string>

namespace sema::test {

/// What stands in the pattern's parentheses, wherever it matches.
std::set<std::string> all_matches(const std::string& text, const std::string& pattern);

/// Every flag in a help, as they stand at the lines' beginnings: all the names that an option has.
std::set<std::string> flags_in(const std::string& help);

/// Those of them that take a value.
std::set<std::string> value_flags_in(const std::string& help);

/// The subcommands that a help lists, by their first names.
std::set<std::string> subcommands_in(const std::string& help);

/// Other names of subcommands, behind a comma.
std::set<std::string> subcommand_aliases_in(const std::string& help);

}  // namespace sema::test
