#pragma once

#include "tests/support/program.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace sema::test {

using Words = std::set<std::string>;

/// A shell that has been set up in one of the ways that people have it, with the completions of semactl and
/// semad: `bash` alone, `bash with bash-completion`, `zsh` (its fpath has the scripts) or `fish`; besides,
/// with settings that scripts stumble over, `strict bash` (an unset variable or a failure ends it, and : and
/// = do not part words) and `strict sourcing zsh` (which reads the scripts at its start). Fails the test
/// where a program is missing that this takes.
class Shell {
  public:
    explicit Shell(std::string kind);

    const std::string& kind() const { return kind_; }
    bool is(const std::string& program) const { return kind_.find(program) != std::string::npos; }

    /// What Tab offers at the end of each line, as whole words of that line. A `|` stands for the cursor if
    /// that is elsewhere; not in fish. The options are those of the shell's program.
    std::map<std::string, Words> offers(const std::vector<std::string>& lines,
                                        const ProgramOptions& options = {}) const;

    /// The arguments, each in brackets, that semactl gets from a line that is written by these keys.
    std::string arguments_from(const std::string& keys, const ProgramOptions& options) const;

  private:
    std::string kind_;
};

}  // namespace sema::test
