#pragma once

#include "common/durations.hpp"
#include "common/help_formatter.hpp"

#include <CLI/App.hpp>

#include <cstdint>
#include <limits>
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

/// Parts `semactl ... run [options] POOL... [options] -- CMD ARG...`: the command begins after the first
/// `--`. Without one, or where a word before it is an option that semactl doesn't have, it begins at the
/// first word after one POOL that is neither an option nor an option's value. All other subcommands' lines
/// are `own` alone. `app` knows the options; the program's name is not part of `words`.
CommandLine part_command_line(const CLI::App& app, const std::vector<std::string>& words);

/// Shows `run`'s command in its usage line.
class CommandHelpFormatter : public HelpFormatter {
  public:
    std::string make_usage(const CLI::App* app, std::string name) const override;
};

/// Adds an option that takes a duration.
CLI::Option* add_duration(CLI::App& app, const std::string& names, std::optional<Duration>& target,
                          const std::string& help);

/// Which numbers an option takes.
struct NumberRange {
    unsigned least = 0;
    unsigned most = std::numeric_limits<unsigned>::max();
};

/// Adds an option that takes a whole number, written in decimal digits alone.
CLI::Option* add_number(CLI::App& app, const std::string& names, unsigned& target, const std::string& help,
                        NumberRange range = {});

/// The same where it matters whether the option was given.
CLI::Option* add_optional_number(CLI::App& app, const std::string& names, std::optional<unsigned>& target,
                                 const std::string& help, NumberRange range = {});

/// Which numbers an argument takes that may be negative.
struct SignedRange {
    std::int64_t least;
    std::int64_t most;
};

/// Reads a whole number, with or without a sign before its digits: `2`, `+2`, `-2`. The text of a refusal
/// goes on from the name of what was to be a number.
Expected<std::int64_t> parse_signed(const std::string& text, SignedRange range);

/// Adds an option, or a positional argument, that takes such a number.
CLI::Option* add_signed(CLI::App& app, const std::string& names, std::optional<std::int64_t>& target,
                        const std::string& help, SignedRange range);

/// Adds the positional POOL of a command that has no other; $SEMACTL_POOL stands in where it is left out.
CLI::Option* add_pool(CLI::App& app, std::string& target);

/// Adds the positional POOL of a command that has others behind it.
CLI::Option* add_named_pool(CLI::App& app, std::string& target);
/// Adds the positional LEASE.
CLI::Option* add_lease(CLI::App& app, std::string& target);

}  // namespace sema
