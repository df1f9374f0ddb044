#include "tests/support/help_text.hpp"

#include <algorithm>
#include <regex>

namespace sema::test {
namespace {

std::string list_of_subcommands(const std::string& help) {
    return help.substr(std::min(help.find("Subcommands:"), help.size()));
}

const std::string names = "-[A-Za-z-]+(?:, *-[A-Za-z-]+)*";

std::set<std::string> names_in(const std::set<std::string>& lists) {
    std::set<std::string> all;
    for (const std::string& list : lists)
        all.merge(all_matches(list, "(-[A-Za-z-]+)"));
    return all;
}

}  // namespace

std::set<std::string> all_matches(const std::string& text, const std::string& pattern) {
    const std::regex regex(pattern);
    std::set<std::string> found;
    for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match)
        found.insert((*match)[1]);
    return found;
}

std::set<std::string> flags_in(const std::string& help) {
    return names_in(all_matches(help, "\n +(" + names + ")"));
}

// The value has a name in capitals, a single space behind the option's.
std::set<std::string> value_flags_in(const std::string& help) {
    return names_in(all_matches(help, "\n +(" + names + ") [A-Z]"));
}

std::set<std::string> subcommands_in(const std::string& help) {
    return all_matches(list_of_subcommands(help), "\n  ([a-z]+)(?:, [a-z]+)* {2,}");
}

std::set<std::string> subcommand_aliases_in(const std::string& help) {
    return all_matches(list_of_subcommands(help), "\n  [a-z]+, ([a-z]+)");
}

}  // namespace sema::test
