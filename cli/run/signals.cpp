#include "cli/run/signals.hpp"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace sema {
namespace {

constexpr int highest_signal = 64;

void set_disposition(int number, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    sigaction(number, &action, nullptr);
}

// Whether the signal would do to semactl what it does to every process. A handler belongs to a library
// that wants the signal, as a sanitizer's.
bool has_default_action(int number) {
    struct sigaction action {};
    // Fails for those that libc keeps to itself, whose handling is then unchanged.
    sigaction(number, nullptr, &action);
    return action.sa_handler == SIG_DFL;
}

// The kernel gives a signal of a low number first, of those that are pending.
bool is_urgent(int number) {
    const Meaning meaning = meaning_of(number);
    return meaning == Meaning::stop || meaning == Meaning::end ||
           (meaning == Meaning::nothing && number != SIGCHLD);
}

bool may_come_from_terminal(int number) {
    switch (number) {
        case SIGINT:
        case SIGQUIT:
        case SIGHUP:
        case SIGCONT:
        case SIGWINCH:
        case SIGTSTP:
        case SIGTTIN:
        case SIGTTOU:
            return true;
        default:
            // A timer's, or a limit's that semactl's own process came to.
            return false;
    }
}

// Whether a CONT waits to be read.
bool is_continued() {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGCONT) == 1;
}

}  // namespace

Meaning meaning_of(int number) {
    switch (number) {
        case SIGCHLD:
        case SIGURG:
        case SIGPIPE:
        case SIGCONT:
        case SIGTSTP:
        case SIGTTIN:
        case SIGTTOU:
            return Meaning::nothing;
        case SIGINT:
        case SIGTERM:
        case SIGHUP:
        case SIGQUIT:
            return Meaning::stop;
        case SIGUSR1:
        case SIGUSR2:
        case SIGWINCH:
        case SIGXCPU:
        case SIGALRM:
            return Meaning::news;
        default:
            return number > SIGSYS ? Meaning::news : Meaning::end;
    }
}

bool ends_waiting(int number) {
    const Meaning meaning = meaning_of(number);
    return meaning == Meaning::stop || meaning == Meaning::end || number == SIGXCPU || number == SIGALRM;
}

Signals::Signals() {
    // With CHLD ignored, the kernel would throw the children's exit statuses away.
    for (const auto& [number, handler] : {std::pair{SIGCHLD, SIG_DFL}, std::pair{SIGPIPE, SIG_IGN}}) {
        Disposition original{number, {}};
        sigaction(number, nullptr, &original.action);
        originals_.push_back(original);
        set_disposition(number, handler);
    }
    Mask taken = 0;
    Mask urgent = 0;
    for (int number = 1; number <= highest_signal; ++number) {
        const bool possible = number != SIGKILL && number != SIGSTOP && number != SIGURG;
        if (!possible || !has_default_action(number)) continue;
        taken |= Mask{1} << (number - 1);
        if (is_urgent(number)) urgent |= Mask{1} << (number - 1);
    }
    if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, &taken, &original_mask_, sizeof taken) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot block signals");
    const auto descriptor_of = [](const Mask& mask) {
        return static_cast<int>(syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK));
    };
    fd_ = descriptor_of(taken);
    urgent_ = descriptor_of(urgent);
    if (fd_ < 0 || urgent_ < 0) {
        const int error = errno;
        if (fd_ >= 0) close(fd_);
        restore_in_child();
        throw std::system_error(error, std::generic_category(), "cannot watch for signals");
    }
}

Signals::~Signals() {
    if (either_ >= 0) close(either_);
    close(urgent_);
    close(fd_);
}

void Signals::watch_parent(pid_t parent) {
    parent_.emplace(parent);
    either_ = epoll_create1(EPOLL_CLOEXEC);
    for (const int fd : {fd_, parent_->fd()}) {
        epoll_event event{};
        event.events = EPOLLIN;
        if (epoll_ctl(either_, EPOLL_CTL_ADD, fd, &event) != 0)
            throw std::system_error(errno, std::generic_category(), "cannot watch for signals");
    }
}

std::optional<Signal> Signals::read_from(int fd) {
    signalfd_siginfo info{};
    while (read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        Signal signal;
        signal.number = static_cast<int>(info.ssi_signo);
        signal.from_kernel = info.ssi_code == SI_KERNEL && may_come_from_terminal(signal.number);
        signal.from_timer = info.ssi_code == SI_TIMER;
        signal.sender = static_cast<pid_t>(info.ssi_pid);
        // A file of ours that may not grow any more, as a log on stderr, is like a pipe without a reader.
        const bool own_write = signal.number == SIGXFSZ && signal.sender == getpid();
        if (!own_write) return signal;
    }
    return std::nullopt;
}

std::optional<Signal> Signals::next() {
    if (const auto urgent = read_from(urgent_)) return urgent;
    if (!parent_ || !parent_->is_gone()) return read_from(fd_);
    // Its descriptor would be readable for ever.
    parent_.reset();
    Signal signal;
    signal.number = SIGTERM;
    signal.parent_is_gone = true;
    return signal;
}

Signals::Mask Signals::pending() const {
    Mask pending = 0;
    // None where the system refuses to say.
    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    return pending;
}

void Signals::restore_in_child() const {
    for (const Disposition& original : originals_)
        sigaction(original.number, &original.action, nullptr);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &original_mask_, nullptr, sizeof original_mask_);
}

bool Signals::stop_self(int number) const {
    // The kernel drops it when the stop is raised. One that came after the signal which asks for the stop is
    // to win, though, as it does over a stop that waits to be read. One that comes after this look is lost:
    // no call stops a process only where no CONT is pending. A shell sends it to a job that it saw stopped.
    if (is_continued()) return false;
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &stop, nullptr);
    sigprocmask(SIG_BLOCK, &stop, nullptr);
    // What continued this process waits to be read.
    return is_continued();
}

}  // namespace sema
