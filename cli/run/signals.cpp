#include "cli/run/signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace sema {
namespace {

void set_disposition(int number, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    sigaction(number, &action, nullptr);
}

}  // namespace

Signals::Signals() {
    sigemptyset(&taken_);
    for (const int number :
         {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU}) {
        struct sigaction action {};
        sigaction(number, nullptr, &action);
        if (action.sa_handler != SIG_IGN) sigaddset(&taken_, number);
    }
    sigaddset(&taken_, SIGCHLD);
    sigprocmask(SIG_BLOCK, &taken_, &original_mask_);

    // With CHLD ignored, the kernel would throw the children's exit statuses away.
    for (const auto& [number, handler] : {std::pair{SIGCHLD, SIG_DFL}, std::pair{SIGPIPE, SIG_IGN}}) {
        Disposition original{number, {}};
        sigaction(number, nullptr, &original.action);
        originals_.push_back(original);
        set_disposition(number, handler);
    }
    fd_ = signalfd(-1, &taken_, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd_ < 0) {
        const int error = errno;
        restore_in_child();
        throw std::system_error(error, std::generic_category(), "cannot watch for signals");
    }
}

Signals::~Signals() {
    close(fd_);
}

std::optional<Signal> Signals::next() {
    signalfd_siginfo info{};
    if (read(fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return std::nullopt;
    Signal signal;
    signal.number = static_cast<int>(info.ssi_signo);
    signal.from_kernel = info.ssi_code == SI_KERNEL;
    signal.sender = static_cast<pid_t>(info.ssi_pid);
    return signal;
}

void Signals::restore_in_child() const {
    for (const Disposition& original : originals_)
        sigaction(original.number, &original.action, nullptr);
    sigprocmask(SIG_SETMASK, &original_mask_, nullptr);
}

void Signals::stop_self(int number) const {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &stop, nullptr);
    sigprocmask(SIG_BLOCK, &stop, nullptr);
}

}  // namespace sema
