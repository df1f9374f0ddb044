#pragma once

#include "common/durations.hpp"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>

#include <optional>
#include <string>
#include <vector>

namespace sema {

/// A command line, parted into what semactl reads and what it only hands on.
struct CommandLine {
    std::vector<std::string> own;
    /// `run`'s command and its arguments, verbatim.
    std::vector<std::string> command;
};

/// Parts `semactl ... run [options] POOL [options] [--] CMD ARG...`: the command begins after the first
/// `--`, or at the first word after POOL that is neither an option nor an option's value. All other
/// subcommands' lines are `own` alone. `app` knows the options; the program's name is not part of `words`.
CommandLine part_command_line(const CLI::App& app, const std::vector<std::string>& words);

/// Writes help for people: an option's value has a name, and what is said of it is all in its description.
class HelpFormatter : public CLI::Formatter {
  public:
    std::string make_usage(const CLI::App* app, std::string name) const override;
    std::string make_option_opts(const CLI::Option* option) const override;
};

/// Adds an option that takes a duration.
CLI::Option* add_duration(CLI::App& app, const std::string& names, std::optional<Duration>& target,
                          const std::string& help);

/// Adds the positional POOL; $SEMACTL_POOL stands in where it is left out.
CLI::Option* add_pool(CLI::App& app, std::string& target);

}  // namespace sema
