#include "cli/run/child.hpp"

#include "cli/exit_status.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <system_error>

namespace sema {
namespace {

// More than semactl and its libraries ever have open at a time, besides what it was started with.
constexpr int most_own_descriptors = 64;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> all;
    all.reserve(texts.size() + 1);
    // execve() changes nothing of what it is given, though it does not say so.
    for (const std::string& text : texts)
        all.push_back(const_cast<char*>(text.c_str()));
    all.push_back(nullptr);
    return all;
}

// All that the new process needs before the program takes over.
struct Handover {
    const char* path;
    char* const* arguments;
    char* const* environment;
    const Signals& signals;
    const InheritedDescriptors& descriptors;
    pid_t parent;
    // The writing end of a pipe that the exec closes.
    int report;
};

// What happens in the new process. Only async-signal-safe calls, and nothing that changes memory: it is
// semactl's own.
[[noreturn]] void become_program(const Handover& handover) {
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0) {
        // Had semactl died before the line above, nobody would ever send that signal.
        if (getppid() != handover.parent) _exit(exit_status::failed);
        handover.descriptors.pass_to_child();
        handover.signals.restore_in_child();
        execve(handover.path, handover.arguments, handover.environment);
    }
    const int error = errno;
    static_cast<void>(write(handover.report, &error, sizeof error) + 0);
    _exit(exit_status::failed);
}

// fork() would copy the tables of all that libcurl has mapped, which takes longer than a short command does.
// With vfork() the new process works in our memory until its exec, and has no business there but its own.
pid_t start(const Handover& handover) {
    const pid_t pid = vfork();               // NOLINT(clang-analyzer-security.insecureAPI.vfork)
    if (pid == 0) become_program(handover);  // NOLINT(clang-analyzer-unix.Vfork)
    return pid;
}

}  // namespace

InheritedDescriptors::InheritedDescriptors() {
    for (int fd = 0; fd <= 2; ++fd) {
        if (fcntl(fd, F_GETFD) >= 0)
            descriptors_.push_back(fd);
        else if (open("/", O_PATH | O_CLOEXEC) != fd)
            throw std::system_error(errno, std::generic_category(),
                                    "cannot fill in for a standard stream that is closed");
    }
    std::error_code error;
    std::filesystem::directory_iterator folder("/proc/self/fd", error);
    for (; !error && folder != std::filesystem::directory_iterator(); folder.increment(error)) {
        const std::string name = folder->path().filename().string();
        int fd = -1;
        std::from_chars(name.data(), name.data() + name.size(), fd);
        // The folder's own descriptor is among them, and is close-on-exec.
        const int flags = fcntl(fd, F_GETFD);
        if (fd > 2 && flags >= 0 && (flags & FD_CLOEXEC) == 0) descriptors_.push_back(fd);
    }
    all_known_ = !error;
}

void InheritedDescriptors::pass_to_child() const {
    // Not every library marks what it opens, so everything is marked and then what was inherited is not.
    // Without the call (before Linux 5.11, or where a container refuses it), as far as numbers go: a new one
    // is the lowest that is free.
    if (close_range(0, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
        const int end = static_cast<int>(descriptors_.size()) + most_own_descriptors;
        for (int fd = 0; fd < end; ++fd)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    for (const int fd : descriptors_)
        fcntl(fd, F_SETFD, 0);
}

std::variant<pid_t, ExecFailed> start_child(const ChildSpec& spec, const Signals& signals,
                                            const InheritedDescriptors& descriptors) {
    const std::vector<char*> arguments = pointers(spec.arguments);
    const std::vector<char*> environment = pointers(spec.environment);

    // The new process could tell of a failed exec in the memory that both share, but where something puts
    // fork() in vfork()'s place, as the thread sanitizer does, they share none.
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot make a pipe");

    const pid_t pid = start(
        {spec.path.c_str(), arguments.data(), environment.data(), signals, descriptors, getpid(), report[1]});
    const int error = errno;
    close(report[1]);
    int failure = 0;
    ssize_t size = 0;
    if (pid > 0) {
        do
            size = read(report[0], &failure, sizeof failure);
        while (size < 0 && errno == EINTR);
    }
    close(report[0]);
    if (pid < 0) throw std::system_error(error, std::generic_category(), "cannot start a process");
    if (size == sizeof failure) {
        waitpid(pid, nullptr, 0);
        return ExecFailed{failure};
    }
    // The supervisor waits for it, together with the orphans that come to semactl.
    return pid;
}

}  // namespace sema
