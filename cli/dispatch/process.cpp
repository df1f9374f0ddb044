#include "cli/dispatch/process.hpp"

#include "client/boot_clock.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

constexpr int third = STDERR_FILENO + 1;
constexpr std::size_t most_output = 65536;
// Between TERM and KILL for what takes too long.
constexpr Duration grace = 1s;
// How often it is looked for the end of a process where no descriptor shows it.
constexpr Duration between_looks = 10ms;
// How long a command waits for a system that has no process to give. Short enough for a start to be over
// before its lease, which ends 10 s after its limit.
constexpr Duration spawn_patience = 4s;

/// The arguments of posix_spawn(), with no leak where one of them cannot be made.
class Spawning {
  public:
    Spawning() {
        if (posix_spawn_file_actions_init(&actions_) != 0 || posix_spawnattr_init(&attributes_) != 0)
            throw std::system_error(ENOMEM, std::generic_category(), "posix_spawn");
    }
    ~Spawning() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    Spawning(const Spawning&) = delete;
    Spawning& operator=(const Spawning&) = delete;

    int prepare(const ProcessSpec& spec, int out) {
        sigset_t none;
        sigset_t all;
        sigemptyset(&none);
        sigfillset(&all);
        const std::array results = {
            posix_spawnattr_setflags(&attributes_,
                                     POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
            posix_spawnattr_setpgroup(&attributes_, 0),
            posix_spawnattr_setsigmask(&attributes_, &none),
            posix_spawnattr_setsigdefault(&attributes_, &all),
            spec.in < 0 ? posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
                        : posix_spawn_file_actions_adddup2(&actions_, spec.in, STDIN_FILENO),
            out < 0 ? 0 : posix_spawn_file_actions_adddup2(&actions_, out, STDOUT_FILENO),
            spec.third < 0 ? 0 : posix_spawn_file_actions_adddup2(&actions_, spec.third, third),
            posix_spawn_file_actions_addchdir_np(&actions_, spec.folder.c_str()),
            posix_spawn_file_actions_addclosefrom_np(&actions_, spec.third < 0 ? third : third + 1)};
        const auto failed =
            std::find_if(results.begin(), results.end(), [](int error) { return error != 0; });
        return failed == results.end() ? 0 : *failed;
    }

    int spawn(pid_t& pid, const ProcessSpec& spec) {
        std::vector<char*> arguments = pointers(spec.arguments);
        std::vector<char*> environment = pointers(spec.environment);
        return posix_spawn(&pid, spec.path.c_str(), &actions_, &attributes_, arguments.data(),
                           environment.data());
    }

  private:
    static std::vector<char*> pointers(const std::vector<std::string>& texts) {
        std::vector<char*> all;
        for (const std::string& text : texts)
            all.push_back(const_cast<char*>(text.c_str()));
        all.push_back(nullptr);
        return all;
    }

    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

int milliseconds(Duration time) {
    constexpr Duration longest = 1h;
    return static_cast<int>(
        std::chrono::ceil<std::chrono::milliseconds>(std::clamp<Duration>(time, 0s, longest)).count());
}

std::optional<ProcessEnd> take_end(pid_t pid) {
    int status = 0;
    pid_t ended = 0;
    do {
        ended = waitpid(pid, &status, WNOHANG);
    } while (ended < 0 && errno == EINTR);
    if (ended == 0) return std::nullopt;
    if (ended < 0) return ProcessEnd{.status = 127};
    if (WIFSIGNALED(status)) return ProcessEnd{.status = 128 + WTERMSIG(status), .by_signal = true};
    return ProcessEnd{.status = WEXITSTATUS(status)};
}

// Reads what is there, as far as it could be kept. False at the end of it.
bool read_some(int fd, std::string& output) {
    std::array<char, most_output> buffer;
    ssize_t got = 0;
    do {
        got = read(fd, buffer.data(), buffer.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return errno == EAGAIN;
    output.append(buffer.data(), std::min(static_cast<std::size_t>(got), most_output - output.size()));
    return got > 0;
}

/// Runs one command to its end.
class Run {
  public:
    Run(pid_t pid, int output, Wakes over)
        : pid_(pid), process_(end_of_process(pid)), output_(output), over_(std::move(over)) {}

    std::optional<ProcessEnd> wait(Duration limit, std::string& text) {
        const Moment until = BootClock::now() + limit;
        for (;;) {
            if (output_ >= 0 && !read_some(output_, text)) output_ = -1;
            if (auto end = take_end(pid_)) {
                // What it wrote last.
                if (output_ >= 0) read_some(output_, text);
                return end;
            }
            const Duration left = until - BootClock::now();
            const bool is_over =
                std::any_of(over_.begin(), over_.end(), [](const auto& wake) { return wake->was_rung(); });
            if (left <= 0s || is_over) return std::nullopt;
            std::vector<pollfd> entries{{process_.get(), POLLIN, 0}, {output_, POLLIN, 0}};
            for (const auto& wake : over_)
                entries.push_back({wake->fd(), POLLIN, 0});
            poll(entries.data(), entries.size(),
                 milliseconds(process_.get() >= 0 ? left : std::min(left, between_looks)));
        }
    }

  private:
    const pid_t pid_;
    const Descriptor process_;
    int output_;
    const Wakes over_;
};

}  // namespace

void Descriptor::reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
}

Expected<Pipe> make_pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
        return failure("cannot make a pipe: " + std::generic_category().message(errno));
    return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

std::string ProcessEnd::describe() const {
    if (is_late) return "it took too long, and was killed";
    if (by_signal) {
        const char* const name = sigabbrev_np(status - 128);
        return std::string("it was ended by signal ") +
               (name != nullptr ? name : std::to_string(status - 128));
    }
    return "it exited with status " + std::to_string(status);
}

Expected<pid_t> start_process(const ProcessSpec& spec, int out) {
    Spawning spawning;
    pid_t pid = -1;
    int error = spawning.prepare(spec, out);
    if (error == 0) error = spawning.spawn(pid, spec);
    for (const Moment until = BootClock::now() + spawn_patience;
         (error == EAGAIN || error == ENOMEM) && BootClock::now() < until;) {
        poll(nullptr, 0, between_looks / 1ms);
        error = spawning.spawn(pid, spec);
    }
    if (error != 0)
        return failure("cannot execute " + spec.path + ": " + std::generic_category().message(error));
    return pid;
}

int end_of_process(pid_t pid) {
    return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
}

std::optional<ProcessEnd> wait_for(pid_t pid, Duration limit) {
    std::string none;
    return Run(pid, -1, {}).wait(limit, none);
}

Expected<CommandResult> run_command(const ProcessSpec& spec, Duration limit, bool captures,
                                    const Wakes& over) {
    const Moment until = BootClock::now() + limit;
    Pipe output;
    if (captures) {
        auto made = make_pipe();
        if (!made) return tl::unexpected(made.error());
        output = *std::move(made);
        fcntl(output.reading.get(), F_SETFL, O_NONBLOCK);
    }
    const Descriptor& reading = output.reading;
    const auto pid = start_process(spec, output.writing.get());
    output.writing.reset();
    if (!pid) return tl::unexpected(pid.error());
    CommandResult result;
    if (const auto end = Run(*pid, reading.get(), over).wait(until - BootClock::now(), result.output)) {
        result.end = *end;
        // One that starts another, and was killed alone, has left that one.
        if (end->by_signal) kill(-*pid, SIGKILL);
        return result;
    }
    Run run(*pid, reading.get(), {});
    kill(-*pid, SIGTERM);
    auto end = run.wait(grace, result.output);
    // Those of its group that did not heed it, the command itself among them, or not.
    kill(-*pid, SIGKILL);
    for (; !end; end = run.wait(1h, result.output)) {
    }
    result.end = *end;
    result.end.is_late = true;
    return result;
}

}  // namespace sema
