#pragma once

#include "client/scheduler/wake.hpp"
#include "common/durations.hpp"
#include "common/error.hpp"

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sema {

/// A file descriptor that is closed with it.
class Descriptor {
  public:
    explicit Descriptor(int fd = -1) : fd_(fd) {}
    ~Descriptor() { reset(); }
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        reset(std::exchange(other.fd_, -1));
        return *this;
    }
    int get() const { return fd_; }
    void reset(int fd = -1);

  private:
    int fd_;
};

/// The ends of a pipe, which no other program gets unless it is given one.
struct Pipe {
    Descriptor reading;
    Descriptor writing;
};
Expected<Pipe> make_pipe();

using Wakes = std::vector<std::shared_ptr<const Wake>>;

/// A program that a dispatcher starts.
struct ProcessSpec {
    /// The file to execute.
    std::string path;
    /// Its arguments, its own name as the first.
    std::vector<std::string> arguments;
    /// Entries of the form NAME=VALUE.
    std::vector<std::string> environment;
    /// The working directory.
    std::string folder;
    /// What it finds on stdin: nothing with -1.
    int in = -1;
    /// What its descriptor 3 is: closed with -1.
    int third = -1;
};

/// How a process ended.
struct ProcessEnd {
    /// 128 + N where signal N ended it.
    int status = 0;
    bool by_signal = false;
    /// It was killed, since its time was over.
    bool is_late = false;

    bool is_success() const { return status == 0 && !is_late; }
    /// For people: `it exited with status 3`.
    std::string describe() const;
};

/// Starts a program that leads its own process group. It gets this process's stdout and stderr, or
/// writes to `out` in place of the former; no descriptor that `spec` does not name, no signal blocked or
/// ignored. Waits some seconds for a system that has no process to give. Any thread.
Expected<pid_t> start_process(const ProcessSpec& spec, int out = -1);

/// As a path: the program that this process executes, also after its file was replaced or removed.
inline constexpr const char* own_program = "/proc/self/exe";

/// A descriptor that is readable once the process has ended; -1 where the system has none to give. To be
/// closed.
int end_of_process(pid_t pid);

/// Waits up to `limit` for the end of a process that is this one's child, and takes it. None where it has not
/// ended.
std::optional<ProcessEnd> wait_for(pid_t pid, Duration limit);

struct CommandResult {
    ProcessEnd end;
    /// What it wrote to stdout, where that was captured: up to 64 KiB of it.
    std::string output;
};

/// Runs a program to its end, or for up to `limit`: then its process group gets TERM, and a second later
/// KILL. Processes that it leaves in the background when it ends by itself run on; a signal that ends it ends
/// them too. Where one of `over` is
/// rung, its time is over at once.
Expected<CommandResult> run_command(const ProcessSpec& spec, Duration limit, bool captures,
                                    const Wakes& over = {});

}  // namespace sema
