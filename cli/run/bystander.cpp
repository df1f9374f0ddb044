#include "cli/run/bystander.hpp"

#include "cli/run/process_tree.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
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
    /// The signal that is asked about; or one of the next two, which are no questions.
    int signal = 0;
    /// From when on the signal counts; when to wake semactl.
    Moment moment{};
    pid_t command = 0;
};
constexpr int waking = -1;
constexpr int watching = -2;

// A command that got a TERM from the kernel, and stops within this, gets no second one.
constexpr Duration time_to_stop = 1s;

// What the bystander says: the answer to a question, or by itself that it got a signal.
enum Word : char { no, yes, news };

// From this one on a signal may be pending more than once.
constexpr int first_queued = 32;

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

// What the bystander does.
class StandBy {
  public:
    StandBy(int socket, pid_t semactl) : socket_(socket), semactl_(semactl) {
        let_go_of_all_but(socket);
        prctl(PR_SET_NAME, own_name);
        hide_command_line();
        // The kernel's own set, since a sigset_t leaves out what libc keeps to itself.
        const std::uint64_t all = ~std::uint64_t{0};
        syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, nullptr, sizeof all);
        signals_ = static_cast<int>(syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_NONBLOCK));
    }

    void run() {
        // A bystander that hears nothing is none.
        if (signals_ < 0) return;
        for (;;) {
            const Moment now = BootClock::now();
            wake(now);
            const bool waits = wake_at_ == Moment::max();
            std::array<pollfd, 2> readable{{{socket_, POLLIN, 0}, {signals_, POLLIN, 0}}};
            poll(readable.data(), readable.size(),
                 waits ? -1 : milliseconds(std::min<Duration>(wake_at_ - now, between_looks)));
            if (readable[1].revents != 0) hear();
            if (readable[0].revents != 0 && !answer()) break;
        }
        if (command_) end_command(*command_);
    }

  private:
    struct Heard {
        int count = 0;
        Moment last{};
    };

    void wake(Moment now) {
        if (now < wake_at_) return;
        if (getppid() == semactl_) kill(semactl_, SIGCONT);
        // A stop that came just after the last one undid that.
        wake_at_ = now + between_looks;
    }

    void hear() {
        signalfd_siginfo info{};
        bool any = false;
        while (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
            Heard& heard = heard_[info.ssi_signo % heard_.size()];
            ++heard.count;
            heard.last = BootClock::now();
            any = true;
        }
        if (!any) return;
        // One word tells as much as several: where there is no room for another, no matter.
        const char word = news;
        static_cast<void>(send(socket_, &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL) + 0);
    }

    // False where semactl is gone.
    bool answer() {
        Question question;
        if (read(socket_, &question, sizeof question) != static_cast<ssize_t>(sizeof question)) return false;
        if (question.signal == waking) {
            wake_at_ = question.moment;
            return true;
        }
        if (question.signal == watching) {
            command_ = find_process(question.command);
            return true;
        }
        const char word = question.signal != 0 && got_after(question.signal, question.moment) ? yes : no;
        return write(socket_, &word, 1) == 1;
    }

    bool got_after(int signal, Moment since) {
        Heard& heard = heard_[static_cast<std::size_t>(signal) % heard_.size()];
        const Moment give_up = BootClock::now() + Bystander::in_turn;
        for (;;) {
            hear();
            // What is older came to this process alone.
            if (heard.last < since) heard.count = 0;
            if (heard.count > 0) {
                --heard.count;
                return true;
            }
            // Many of these may be queued, and each would take that long.
            const Moment now = BootClock::now();
            if (signal >= first_queued || now >= give_up) return false;
            pollfd readable{signals_, POLLIN, 0};
            poll(&readable, 1, milliseconds(give_up - now));
        }
    }

    static void end_command(const Process& command) {
        const Moment end = BootClock::now() + time_to_stop;
        while (BootClock::now() < end) {
            const auto now = find_process(command.pid);
            if (!now || now->started != command.started || now->state == 'Z') return;
            poll(nullptr, 0, milliseconds(between_looks / 4));
        }
        send_signal(command, SIGTERM);
    }

    const int socket_;
    const pid_t semactl_;
    std::optional<Process> command_;
    int signals_ = -1;
    Moment wake_at_ = Moment::max();
    std::array<Heard, 65> heard_{};
};

// Without waiting for one that is stopped.
bool say(int socket, const Question& question) {
    return send(socket, &question, sizeof question, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           static_cast<ssize_t>(sizeof question);
}

}  // namespace

Bystander::Bystander() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
    const pid_t semactl = getpid();
    pid_ = fork();
    if (pid_ == 0) {
        try {
            StandBy(ends[1], semactl).run();
        } catch (const std::exception&) {
            // No more memory. It must not go on as semactl.
        }
        _exit(0);
    }
    close(ends[1]);
    socket_ = ends[0];
    if (pid_ < 0) end();
}

Bystander::~Bystander() {
    end();
}

std::optional<bool> Bystander::got(int signal, Moment since) {
    return ask(signal, since);
}

bool Bystander::heard() {
    char word = no;
    while (socket_ >= 0 && recv(socket_, &word, 1, MSG_DONTWAIT) == 1)
        heard_ = true;
    return std::exchange(heard_, false);
}

std::optional<bool> Bystander::ask(int signal, Moment moment) {
    if (pid_ < 0) return std::nullopt;
    pollfd readable{socket_, POLLIN, 0};
    char word = no;
    if (say(socket_, {signal, moment, 0})) {
        while (poll(&readable, 1, milliseconds(longest_answer)) == 1 && read(socket_, &word, 1) == 1) {
            if (word != news) return word == yes;
            heard_ = true;
        }
    }
    // An answer that is late would be taken for that to the next question.
    end();
    return std::nullopt;
}

void Bystander::wake_at(Moment moment) {
    if (pid_ >= 0) say(socket_, {waking, moment, 0});
}

void Bystander::watch_over(pid_t command) {
    if (pid_ >= 0) say(socket_, {watching, {}, command});
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
