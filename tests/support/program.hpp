#pragma once

#include "tests/support/eventually.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sema::test {

/// How a Program is started.
struct ProgramOptions {
    /// Variables to add to the environment; an empty value removes one.
    std::map<std::string, std::string> environment;
    /// What the program finds on stdin.
    std::string input;
    /// The working directory.
    std::string directory;
    /// A terminal to be the program's stdin, stdout, stderr and controlling terminal: a pty's path.
    std::string terminal;
    /// Signals that the program is started with ignored.
    std::vector<int> ignored;
    /// Descriptors that the program gets as they are, besides the first three.
    std::vector<int> passed;
    /// A descriptor of the network namespace that the program runs in; -1 for the test's own.
    int network = -1;
};

/// A running program whose output is collected. It leads its own process group, which is killed at the end
/// of the scope; no program outlives its test, even one that is killed itself.
class Program {
  public:
    explicit Program(std::vector<std::string> command, ProgramOptions options = {});
    ~Program();
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    pid_t pid() const { return pid_; }
    /// With SIGSTOP it is halted when this returns.
    void signal(int number) const;
    /// Sends a signal to all processes of the program's group.
    void signal_group(int number) const;

    /// Waits for the program's end. Returns its exit status, or 128 + N where signal N ended it, as a shell
    /// has it. Throws where it doesn't end within `limit`.
    int wait(std::chrono::milliseconds limit = patience);
    /// Whether it has ended.
    bool ended();
    /// The signal that ended it; none where it exited. REQUIRES: it has ended.
    std::optional<int> ended_by() const { return ended_by_; }

    /// All that was written so far.
    std::string out() const;
    std::string err() const;

    /// Waits until the output holds `text`. False where that doesn't happen, the program's end included.
    bool prints(const std::string& text);
    bool warns(const std::string& text);

  private:
    bool shows(const std::string& text, std::string (Program::*stream)() const);

    TempDir folder_;
    pid_t pid_ = -1;
    std::optional<int> status_;
    std::optional<int> ended_by_;
};

/// Halts a process with SIGSTOP, and returns once none of its threads runs: the signal alone takes effect a
/// little later. SIGCONT lets it go on.
void halt(pid_t process);

/// What a program that ran to its end left behind.
struct Finished {
    int status = 0;
    std::string out;
    std::string err;
};

Finished run_program(std::vector<std::string> command, ProgramOptions options = {});

}  // namespace sema::test
