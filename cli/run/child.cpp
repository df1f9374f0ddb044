#include "cli/run/child.hpp"

#include "cli/exit_status.hpp"

// clang-format off: with std::filesystem, Boost.Process 1.81 needs these and does not include them.
#include <boost/optional.hpp>
#include <boost/type_traits/decay.hpp>
#include <boost/type_traits/is_convertible.hpp>
// clang-format on
#include <boost/asio/io_context.hpp>
#include <boost/process/v2/posix/fork_and_forget_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>

namespace sema {
namespace {

// More than semactl and its libraries ever have open at a time, besides what it was started with.
constexpr int most_own_descriptors = 64;

namespace process = boost::process::v2;

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
    std::vector<const char*> all;
    all.reserve(texts.size() + 1);
    for (const std::string& text : texts)
        all.push_back(text.c_str());
    all.push_back(nullptr);
    return all;
}

class Pipe {
  public:
    explicit Pipe(int flags) {
        if (pipe2(ends_.data(), flags | O_CLOEXEC) != 0)
            throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
    }
    ~Pipe() {
        for (const int end : ends_)
            if (end >= 0) close(end);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;

    int reading() const { return ends_[0]; }
    int writing() const { return ends_[1]; }
    /// The end is the caller's then.
    int take_reading() { return std::exchange(ends_[0], -1); }
    int take_writing() { return std::exchange(ends_[1], -1); }

  private:
    std::array<int, 2> ends_{};
};

// What happens in the new process: only async-signal-safe calls. It executes the program itself: the launcher
// would close descriptors before, with calls that older kernels and some containers lack, and would have a
// process whose program cannot be executed run semactl's atexit handlers.
struct Handover {
    const Signals& signals;
    const InheritedDescriptors& descriptors;
    pid_t parent;
    // Of this one the exec closes the writing end.
    const Pipe& report;
    const Pipe& hold;
    Moment too_late;

    template <class Launcher>
    boost::system::error_code on_exec_setup(Launcher& launcher, const std::filesystem::path& path,
                                            const char* const*& arguments) const {
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0) {
            // Had semactl died before the line above, that signal would never be sent. Nor is it where
            // semactl is not of this pid namespace.
            if (getppid() != parent || !is_let_go()) fail(ESRCH);
            descriptors.pass_to_child();
            signals.restore_in_child();
            // A machine that is busy, or slept, may have taken its time until here.
            if (BootClock::now() >= too_late) fail(StartedChild::too_late);
            execve(path.c_str(), const_cast<char* const*>(arguments), const_cast<char* const*>(launcher.env));
        }
        fail(errno);
    }

    bool is_let_go() const {
        // Or the end of semactl would not show.
        close(hold.writing());
        char word = 0;
        ssize_t size = -1;
        do
            size = read(hold.reading(), &word, 1);
        while (size < 0 && errno == EINTR);
        return size == 1;
    }

    [[noreturn]] void fail(int error) const {
        std::ignore = write(report.writing(), &error, sizeof error);
        _exit(exit_status::failed);
    }
};

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
    // Not every library marks its descriptors, so all are marked, and then the inherited ones unmarked.
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

StartedChild::StartedChild(StartedChild&& other) noexcept
    : pid_(other.pid_),
      report_(std::exchange(other.report_, -1)),
      hold_(std::exchange(other.hold_, -1)),
      failure_(other.failure_) {}

StartedChild::~StartedChild() {
    if (report_ >= 0) close(report_);
    if (hold_ >= 0) close(hold_);
}

void StartedChild::let_go() {
    const char word = 0;
    // Fails where the process was killed.
    std::ignore = write(hold_, &word, 1);
    close(std::exchange(hold_, -1));
}

void StartedChild::proceed() {
    if (report_ < 0) return;
    int error = 0;
    const ssize_t size = read(report_, &error, sizeof error);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size == sizeof error) failure_ = error;
    close(std::exchange(report_, -1));
}

StartedChild start_child(const ChildSpec& spec, const Signals& signals,
                         const InheritedDescriptors& descriptors, Moment too_late) {
    std::vector<const char*> arguments = pointers(spec.arguments);
    const std::vector<const char*> environment = pointers(spec.environment);

    // The launchers that wait for the exec, or share semactl's memory until then, would stop semactl with it.
    process::posix::fork_and_forget_launcher launcher;
    launcher.env = environment.data();

    Pipe report(O_NONBLOCK);
    Pipe hold(0);
    boost::system::error_code failed;
    try {
        boost::asio::io_context context;
        launcher(context.get_executor(), failed, spec.path, arguments.data(),
                 Handover{signals, descriptors, getpid(), report, hold, too_late})
            .detach();
    } catch (const std::exception&) {
        // Once the process is there, the launcher makes a handle for it, which takes a pidfd and an epoll
        // that the system may refuse. Nobody here uses it, and the process runs.
        if (launcher.pid <= 0) throw;
    }
    // The supervisor waits for it, together with the orphans that come to semactl.
    if (launcher.pid > 0) return {launcher.pid, report.take_reading(), hold.take_writing()};
    throw std::system_error(failed.value(), std::generic_category(), "cannot start a process");
}

}  // namespace sema
