#pragma once

#include "common/durations.hpp"
#include "common/numbers.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

// The parser's header takes longer to compile than most files here: what a subcommand needs of it is declared
// below, and arguments.cpp and main.cpp alone include it.
namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace sema {

/// A command line, parted into what semactl reads and what it only hands on.
struct CommandLine {
    std::vector<std::string> own;
    /// `run`'s command and its arguments, verbatim; of `dispatch`, what stands behind `--`.
    std::vector<std::string> command;
};

/// Parts `semactl ... run [options] POOL... [options] -- CMD ARG...`: the command begins after the first
/// `--`. Without one, or where a word before it is an option that semactl doesn't have, it begins at the
/// first word after one POOL that is neither an option nor an option's value. `dispatch` has words behind
/// `--` too, where an id begins with a hyphen. All other subcommands' lines are `own` alone. No option has
/// `--` for its value, and one that ends with its `=` has an empty one. `app` knows the options; the
/// program's name is not part of `words`.
CommandLine part_command_line(const CLI::App& app, const std::vector<std::string>& words);

/// The words as they are read: `help COMMAND` is `COMMAND --help`, and `help` alone is `--help`.
std::vector<std::string> with_help_as_flag(const CLI::App& app, std::vector<std::string> words);

/// What is wrong with a command line whose words `app` refused.
std::string describe_misuse(const CLI::App& app, const CLI::ParseError& error,
                            const std::vector<std::string>& words);

/// Has the help of `app` written as that of all our commands is. Subcommands that are added later do the
/// same.
void set_help_style(CLI::App& app);

/// Adds a subcommand. `more` is what its help says behind the options.
CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& what,
                      const std::string& more);

/// Gives a subcommand a second name.
void set_alias(CLI::App& command, const std::string& name);

/// Has `action` called when the command line names this subcommand and all of it could be read.
void on_chosen(CLI::App& command, std::function<void()> action);

// Each of the functions below adds an option to a command, or one of its arguments where `names` has no
// hyphen: arguments must be there. What an option leaves unread, as it is not given, stays as it was.

/// A text, which is not empty. The help calls it `type`.
void add_text(CLI::App& app, const std::string& names, std::string& target, const std::string& type,
              const std::string& help);

/// A text where it matters whether the option was given. It may be empty.
void add_optional_text(CLI::App& app, const std::string& names, std::optional<std::string>& target,
                       const std::string& type, const std::string& help);

/// Texts: one for each time that the option is given.
void add_texts(CLI::App& app, const std::string& names, std::vector<std::string>& target,
               const std::string& type, const std::string& help);

/// A flag, which takes no value.
void add_flag(CLI::App& app, const std::string& names, bool& target, const std::string& help);

/// One of some words.
void add_choice(CLI::App& app, const std::string& names, std::vector<std::string> words,
                std::function<void(const std::string& word)> choose, const std::string& type,
                const std::string& help);

/// A duration.
void add_duration(CLI::App& app, const std::string& names, std::optional<Duration>& target,
                  const std::string& help);

/// The option --ttl, a duration above zero.
void add_ttl(CLI::App& app, std::optional<Duration>& target, const std::string& help);

/// A whole number, written in decimal digits alone. `range` is one of numbers that are `unsigned`.
void add_number(CLI::App& app, const std::string& names, unsigned& target, const std::string& help,
                NumberRange range);

/// The same where it matters whether the option was given.
void add_optional_number(CLI::App& app, const std::string& names, std::optional<unsigned>& target,
                         const std::string& help, NumberRange range);

/// A whole number, with or without a sign.
void add_signed(CLI::App& app, const std::string& names, std::optional<std::int64_t>& target,
                const std::string& help, NumberRange range);

/// The argument POOL of a command that has no other. Where it is left out and $SEMACTL_POOL is set, the
/// target is `pool_of_environment`.
void add_pool(CLI::App& app, std::string& target);

/// The argument POOL of a command that has others behind it.
void add_named_pool(CLI::App& app, std::string& target);

/// The arguments of `run`: its pools, which may be left out likewise, and for the help alone CMD, whose words
/// never reach the parser (see part_command_line).
void add_pools_and_command(CLI::App& app, std::vector<std::string>& pools);

/// Arguments that the command itself tells apart, one at least.
void add_words(CLI::App& app, const std::string& names, std::vector<std::string>& target,
               const std::string& help);

/// The argument LEASE.
void add_lease(CLI::App& app, std::string& target);

/// The option --fence, that of the only lease that is meant.
void add_fence(CLI::App& app, std::optional<std::uint64_t>& target, const std::string& help);

}  // namespace sema
