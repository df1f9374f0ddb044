#include "cli/run/bystander.hpp"

#include "cli/keep_only.hpp"
#include "cli/own_command_line.hpp"
#include "cli/run/process_tree.hpp"

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
#include <ctime>
#include <exception>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// Without what begins the name of semactl: `pkill sema` means that alone, and must not look like a signal to
// the group.
constexpr const char* own_name = "slot-bystander";

// An answer takes well below a millisecond. Signals that are doubled do less harm than semactl that waits.
constexpr Duration longest_answer = 200ms;
// Where it is there and only waits for a processor.
constexpr Duration longest_turn = 2s;
// poll() doesn't count the time in which the machine sleeps.
constexpr Duration between_looks = 200ms;

// Of a process that was killed.
constexpr Duration longest_end = 100ms;

struct Question {
    /// The signal that is asked about; or one of the next two, which are no questions.
    int signal = 0;
    /// From when on the signal counts; when to wake semactl.
    Moment moment{};
    pid_t command = 0;
    /// 0 where there is none.
    Duration kill_after{};
};
constexpr int waking = -1;
constexpr int watching = -2;

// A command that got the kernel's TERM, and changes its user while it stops, gets no second one within this.
constexpr Duration time_to_stop = 1s;

// What the bystander says: the answer to a question, or by itself that it got a signal.
enum Word : char { no, yes, news };

// From this one on a signal may be pending more than once.
constexpr int first_queued = 32;

int milliseconds(Duration duration) {
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

// What /proc/PID/status says of a process, by the lines' keys; empty where it cannot be read.
std::map<std::string, std::string> status_of(const std::string& process, const ProcFolder& proc) {
    std::map<std::string, std::string> status;
    std::istringstream text(proc.content_of(process + "/status"));
    for (std::string key, value; std::getline(text, key, ':') && std::getline(text, value);)
        status[key] = value;
    return status;
}

bool has_term(const std::string& signals) {
    return (std::strtoull(signals.c_str(), nullptr, 16) >> (SIGTERM - 1) & 1) != 0;
}

// What the bystander does.
class StandBy {
  public:
    StandBy(int socket, pid_t semactl, const ProcFolder& proc)
        : socket_(socket), semactl_(semactl), proc_(proc) {
        keep_only(socket, proc.fd());
        OwnCommandLine(proc.open("self/stat")).replace(own_name);
        prctl(PR_SET_NAME, own_name);
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
            const bool waits = wake_at_ == BootClock::never;
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
        // One word says as much as several: where there is no room for another, no matter.
        const char word = news;
        std::ignore = send(socket_, &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
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
            command_ = find_process(question.command, proc_);
            kill_after_ = question.kill_after;
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
            // An older signal came to this process alone.
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

    void end_command(const Process& command) const {
        if (!outlives(command, time_to_stop)) return;
        // Many programs take a second TERM for a KILL. At `kill_after` a semactl that lives would send that.
        const bool is_ever_killed = kill_after_ > Duration::zero();
        if (may_be_stopping(command.pid) &&
            (!is_ever_killed || !outlives(command, kill_after_ - time_to_stop)))
            return;
        send_signal(command, SIGTERM, proc_);
    }

    bool outlives(const Process& command, Duration time) const {
        const Moment end = BootClock::now() + time;
        for (;;) {
            const auto now = find_process(command.pid, proc_);
            if (!now || now->started != command.started || now->has_ended()) return false;
            if (BootClock::now() >= end) return true;
            poll(nullptr, 0, milliseconds(between_looks / 4));
        }
    }

    // Whether it may have got the kernel's TERM, and takes its time: it has this process's rights, though
    // nothing shows whether it had others for a moment, and does not end at once of a TERM.
    bool may_be_stopping(pid_t command) const {
        auto own = status_of("self", proc_);
        auto its = status_of(std::to_string(command), proc_);
        for (const char* key : {"Uid", "Gid", "CapPrm"})
            if (own[key].empty() || own[key] != its[key]) return false;
        // What a process waits for with sigwait() counts as not blocked meanwhile.
        const std::string wait = proc_.content_of(std::to_string(command) + "/wchan");
        return has_term(its["SigCgt"]) || has_term(its["SigBlk"]) || wait.find("sigtimedwait") != wait.npos;
    }

    const int socket_;
    const pid_t semactl_;
    const ProcFolder& proc_;
    std::optional<Process> command_;
    Duration kill_after_{};
    int signals_ = -1;
    Moment wake_at_ = BootClock::never;
    std::array<Heard, 65> heard_{};
};

// Without waiting for one that is stopped.
bool say(int socket, const Question& question) {
    return send(socket, &question, sizeof question, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           static_cast<ssize_t>(sizeof question);
}

}  // namespace

Bystander::Bystander(const ProcFolder& proc) : proc_(proc) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
    const pid_t semactl = getpid();
    pid_ = fork();
    if (pid_ == 0) {
        try {
            StandBy(ends[1], semactl, proc).run();
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

bool Bystander::heard() {
    char word = no;
    while (socket_ >= 0 && recv(socket_, &word, 1, MSG_DONTWAIT) == 1)
        heard_ = true;
    return std::exchange(heard_, false);
}

std::optional<bool> Bystander::got(int signal, Moment since, Moment latest) {
    if (socket_ < 0) return std::nullopt;
    pollfd readable{socket_, POLLIN, 0};
    const Moment give_up = std::min(BootClock::now() + longest_turn, latest);
    bool is_asked = say(socket_, {signal, since});
    while (is_asked) {
        const Duration left = std::clamp<Duration>(give_up - BootClock::now(), 0s, longest_answer);
        if (poll(&readable, 1, milliseconds(left)) == 1) {
            char word = no;
            is_asked = read(socket_, &word, 1) == 1;
            if (is_asked && word != news) return word == yes;
            heard_ = heard_ || is_asked;
        } else {
            is_asked = answers_yet() && BootClock::now() < give_up;
        }
    }
    // An answer that is late would be taken for that to the next question.
    end();
    return std::nullopt;
}

bool Bystander::answers_yet() const {
    const auto process = find_process(pid_, proc_);
    return process && (process->state == 'R' || process->state == 'S' || process->state == 'D');
}

void Bystander::wake_at(Moment moment) {
    if (socket_ >= 0) say(socket_, {waking, moment});
}

void Bystander::watch_over(pid_t command, std::optional<Duration> kill_after) {
    if (socket_ >= 0) say(socket_, {watching, {}, command, kill_after.value_or(Duration::zero())});
}

void Bystander::end() {
    const bool is_killed = pid_ > 0 && !std::exchange(is_ending_, true);
    // First: at the socket's end it would look after the command.
    if (is_killed) kill(pid_, SIGKILL);
    if (const int socket = std::exchange(socket_, -1); socket >= 0) close(socket);
    if (!is_killed) return;
    // It comes at once as a rule, and not where another program traces it: it is collected later.
    const Moment give_up = BootClock::now() + longest_end;
    for (Duration pause = 50us; waitpid(pid_, nullptr, WNOHANG) == 0;
         pause = std::min<Duration>(2 * pause, 1ms)) {
        if (BootClock::now() >= give_up) return;
        const timespec time{0, static_cast<long>(std::chrono::nanoseconds(pause).count())};
        nanosleep(&time, nullptr);
    }
    pid_ = -1;
}

void Bystander::was_reaped() {
    pid_ = -1;
    end();
}

}  // namespace sema
