#include "cli/run/child.hpp"

#include "cli/exit_status.hpp"

// clang-format off: with std::filesystem, Boost.Process 1.81 needs these and does not include them.
#include <boost/optional.hpp>
#include <boost/type_traits/decay.hpp>
#include <boost/type_traits/is_convertible.hpp>
// clang-format on
#include <boost/asio/io_context.hpp>
#include <boost/process/v2/posix/vfork_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace sema {
namespace {

namespace process = boost::process::v2;

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
    std::vector<const char*> all;
    all.reserve(texts.size() + 1);
    for (const std::string& text : texts)
        all.push_back(text.c_str());
    all.push_back(nullptr);
    return all;
}

// What happens in the new process before the program takes over. Only async-signal-safe calls, and nothing
// that changes memory: it is semactl's own.
struct Handover {
    const Signals& signals;
    const InheritedDescriptors& descriptors;
    pid_t parent;
    // The writing end of a pipe that the exec closes.
    int report;

    template <class Launcher>
    boost::system::error_code on_exec_setup(Launcher&, const std::filesystem::path&,
                                            const char* const*&) const {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        // Had semactl died before the line above, nobody would ever send that signal.
        if (getppid() != parent) _exit(exit_status::failed);
        descriptors.pass_to_child();
        signals.restore_in_child();
        return {};
    }

    // Without this, a program that cannot be executed would leave the new process to run semactl's own
    // atexit handlers. The launcher passes different arguments in different releases.
    template <class... Anything>
    void on_exec_error(Anything&&...) const {
        const int error = errno;
        static_cast<void>(write(report, &error, sizeof error) + 0);
        _exit(exit_status::failed);
    }
};

}  // namespace

InheritedDescriptors::InheritedDescriptors() {
    for (int fd = 0; fd <= 2; ++fd) {
        const int wrong_way = fd == 0 ? O_WRONLY : O_RDONLY;
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", wrong_way | O_CLOEXEC);
    }
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
        const std::string name = entry.path().filename().string();
        int fd = -1;
        std::from_chars(name.data(), name.data() + name.size(), fd);
        // The folder's own descriptor is among them, and is close-on-exec.
        const int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0) descriptors_.push_back(fd);
    }
}

void InheritedDescriptors::pass_to_child() const {
    // Not every library marks what it opens, so everything is marked and then what was inherited is not.
    // Without the call (before Linux 5.11) unmarked ones of the libraries' stay open in the child.
    close_range(0, ~0U, CLOSE_RANGE_CLOEXEC);
    for (const int fd : descriptors_)
        fcntl(fd, F_SETFD, 0);
}

std::variant<pid_t, ExecFailed> start_child(const ChildSpec& spec, const Signals& signals,
                                            const InheritedDescriptors& descriptors) {
    std::vector<const char*> arguments = pointers(spec.arguments);
    const std::vector<const char*> environment = pointers(spec.environment);

    // fork() would copy the tables of all that libcurl has mapped, which takes longer than a short command
    // does. With vfork() the new process works in our memory until its exec: Handover changes nothing there.
    process::posix::vfork_launcher launcher;
    launcher.env = environment.data();
    // The launcher closes descriptors on its own account, but not all that it should: Handover does it.
    launcher.fd_whitelist = descriptors.numbers();

    // The launcher tells of a failed exec in the memory that both share, but where something puts fork() in
    // vfork()'s place, as the thread sanitizer does, they share none.
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
    launcher.fd_whitelist.push_back(report[1]);

    boost::asio::io_context context;
    boost::system::error_code error;
    auto started = launcher(context.get_executor(), error, spec.path, arguments.data(),
                            Handover{signals, descriptors, getpid(), report[1]});
    close(report[1]);
    int failure = 0;
    ssize_t size = 0;
    do
        size = read(report[0], &failure, sizeof failure);
    while (size < 0 && errno == EINTR);
    close(report[0]);
    if (launcher.pid < 0)
        throw std::system_error(error.value(), std::generic_category(), "cannot start a process");
    if (size == sizeof failure || error) {
        waitpid(launcher.pid, nullptr, 0);
        return ExecFailed{size == sizeof failure ? failure : error.value()};
    }
    // The supervisor waits for it, together with the orphans that come to semactl.
    started.detach();
    return launcher.pid;
}

}  // namespace sema
