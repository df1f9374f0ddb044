#include "cli/run/bystander.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

constexpr const char* own_name = "sema-bystander";

// An answer takes well below a millisecond. Signals that are doubled do less harm than semactl that waits.
constexpr Duration longest_answer = 200ms;
// poll() doesn't count the time in which the machine sleeps.
constexpr Duration between_looks = 200ms;

struct Question {
    /// The signal that is asked about; 0 for whether anybody answers, and `waking` where nobody need to.
    int signal = 0;
    Duration::rep wake_at = 0;
};
constexpr int waking = -1;

int milliseconds(Duration duration) {
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

// A search for semactl by its command line finds it once: a `pkill -f` that found both would look like a
// signal to the group.
void hide_command_line() {
    std::array<char, 2048> stat{};
    const int file = open("/proc/self/stat", O_RDONLY);
    if (file < 0 || read(file, stat.data(), stat.size() - 1) <= 0) return;
    close(file);
    // proc(5): behind the name in parentheses comes the third field; arg_start and arg_end are the 48th and
    // the 49th.
    const char* field = std::strrchr(stat.data(), ')');
    for (int number = 2; field != nullptr && number < 48; ++number)
        field = std::strchr(field + 1, ' ');
    if (field == nullptr) return;
    char* rest = nullptr;
    const std::uintptr_t begin = std::strtoull(field, &rest, 10);
    const std::uintptr_t end = std::strtoull(rest, nullptr, 10);
    if (begin == 0 || end <= begin) return;
    // The memory belongs to main()'s arguments.
    char* const words = reinterpret_cast<char*>(begin);
    std::memset(words, 0, end - begin);
    std::memcpy(words, own_name, std::min(end - begin - 1, std::strlen(own_name)));
}

// Keeps nothing open or busy that semactl's end is to close or free.
void let_go_of_all_but(int socket) {
    const auto kept = static_cast<unsigned>(socket);
    // Before Linux 5.9 there is no such call. The lower ones are always open: the first three are.
    if (close_range(0, kept - 1, 0) != 0 || close_range(kept + 1, ~0U, 0) != 0) {
        for (int fd = 0; fd < 1024; ++fd)
            if (fd != socket) close(fd);
    }
    static_cast<void>(chdir("/") + 0);
}

[[noreturn]] void stand_by(int socket, pid_t semactl) {
    let_go_of_all_but(socket);
    prctl(PR_SET_NAME, own_name);
    hide_command_line();
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, nullptr);

    Moment wake_at = Moment::max();
    for (;;) {
        const Moment now = BootClock::now();
        if (now >= wake_at) {
            if (getppid() == semactl) kill(semactl, SIGCONT);
            // A stop that came just after the last one undid that.
            wake_at = now + between_looks;
        }
        pollfd readable{socket, POLLIN, 0};
        const bool waits = wake_at == Moment::max();
        poll(&readable, 1, waits ? -1 : milliseconds(std::min<Duration>(wake_at - now, between_looks)));
        if (readable.revents == 0) continue;

        Question question;
        if (read(socket, &question, sizeof question) != static_cast<ssize_t>(sizeof question)) _exit(0);
        if (question.signal == waking) {
            wake_at = Moment(Duration(question.wake_at));
            continue;
        }
        sigset_t asked;
        sigemptyset(&asked);
        sigaddset(&asked, question.signal);
        const timespec at_once{};
        const char got =
            question.signal != 0 && sigtimedwait(&asked, nullptr, &at_once) == question.signal ? 1 : 0;
        if (write(socket, &got, 1) != 1) _exit(0);
    }
}

}  // namespace

Bystander::Bystander() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
    const pid_t semactl = getpid();
    pid_ = fork();
    if (pid_ == 0) stand_by(ends[1], semactl);
    close(ends[1]);
    socket_ = ends[0];
    if (pid_ < 0) end();
}

Bystander::~Bystander() {
    end();
}

std::optional<bool> Bystander::got(int signal) {
    return ask(signal);
}

bool Bystander::answers() {
    return ask(0).has_value();
}

std::optional<bool> Bystander::ask(int signal) {
    if (pid_ < 0) return std::nullopt;
    const Question question{signal, 0};
    pollfd readable{socket_, POLLIN, 0};
    char answer = 0;
    if (send(socket_, &question, sizeof question, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof question) &&
        poll(&readable, 1, milliseconds(longest_answer)) == 1 && read(socket_, &answer, 1) == 1)
        return answer != 0;
    // An answer that is late would be taken for that to the next question.
    end();
    return std::nullopt;
}

void Bystander::wake_at(Moment moment) {
    if (pid_ < 0) return;
    const Question question{waking, moment.time_since_epoch().count()};
    static_cast<void>(send(socket_, &question, sizeof question, MSG_NOSIGNAL) + 0);
}

void Bystander::end() {
    if (const pid_t pid = std::exchange(pid_, -1); pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
    }
    if (const int socket = std::exchange(socket_, -1); socket >= 0) close(socket);
}

void Bystander::was_reaped() {
    pid_ = -1;
    end();
}

}  // namespace sema
