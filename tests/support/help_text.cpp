#include "tests/support/help_text.hpp"

#include <algorithm>
#include <regex>

namespace sema::test {
namespace {

std::string list_of_subcommands(const std::string& help) {
    return help.substr(std::min(help.find("Subcommands:"), help.size()));
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
    std::set<std::string> all;
    for (const std::string& names : all_matches(help, "\n +(-[A-Za-z-]+(?:, *-[A-Za-z-]+)*)"))
        all.merge(all_matches(names, "(-[A-Za-z-]+)"));
    return all;
}

std::set<std::string> subcommands_in(const std::string& help) {
    return all_matches(list_of_subcommands(help), "\n  ([a-z]+)(?:, [a-z]+)* {2,}");
}

std::set<std::string> subcommand_aliases_in(const std::string& help) {
    return all_matches(list_of_subcommands(help), "\n  [a-z]+, ([a-z]+)");
}

}  // namespace sema::test
