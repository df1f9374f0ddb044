#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sema {

/// There is no such command; `reason` is for people.
struct CommandNotFound {
    std::string reason;
};
/// There is one, but it cannot be executed.
struct CommandNotExecutable {
    std::string reason;
};

using ResolvedCommand = std::variant<std::string, CommandNotFound, CommandNotExecutable>;

/// The file that a shell would execute for `name`: `name` itself where it has a slash, else the first
/// executable file of that name in `search_path` (as in $PATH, where an empty entry is the working
/// directory). A file that is no program is not executable: semactl puts no shell around it.
ResolvedCommand resolve_command(const std::string& name, std::string_view search_path);

/// $PATH, or what the system uses for a PATH that isn't set.
std::string current_search_path();

/// The arguments with every token in them replaced: what comes in the place of one is not looked through for
/// others. The command's own name, at the front, stays as it is.
std::vector<std::string> replace_tokens(
    std::vector<std::string> arguments,
    const std::vector<std::pair<std::string_view, std::string_view>>& replacements);
/// The same of one token; of none where it is empty.
std::vector<std::string> replace_token(std::vector<std::string> arguments, std::string_view token,
                                       std::string_view replacement);

}  // namespace sema
