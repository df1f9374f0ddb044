#include "cli/apart_writer.hpp"

#include "cli/keep_only.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// For a file that takes what it gets, on a machine that is not very busy.
constexpr auto usual_patience = 50ms;
// Of a process that has nothing left to do.
constexpr auto longest_end = 50ms;

constexpr const char* own_name = "slot-messages";

// What the process does: answers with the number of bytes that it has written.
void copy(int socket, int fd) {
    keep_only(socket, fd);
    prctl(PR_SET_NAME, own_name);
    // The kernel's own set, since a sigset_t leaves out what libc keeps to itself.
    const std::uint64_t all = ~std::uint64_t{0};
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, nullptr, sizeof all);
    std::array<char, 4096> bytes;
    for (;;) {
        const ssize_t size = recv(socket, bytes.data(), bytes.size(), 0);
        // semactl is gone, and what it handed over may be there still.
        if (size < 0 && errno == ECONNRESET) continue;
        if (size <= 0) return;
        // What the file does not take is lost, as with one that is full.
        for (ssize_t done = 0; done < size;) {
            const ssize_t written = ::write(fd, bytes.data() + done, static_cast<std::size_t>(size - done));
            if (written <= 0) break;
            done += written;
        }
        const auto answer = static_cast<std::uint64_t>(size);
        static_cast<void>(send(socket, &answer, sizeof answer, MSG_NOSIGNAL));
    }
}

}  // namespace

bool ApartWriter::is_needed_for(int fd) {
    struct stat info {};
    return fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISBLK(info.st_mode));
}

// The command's doings have yet to change what is at /proc.
ApartWriter::ApartWriter(int fd) : fd_(fd), command_line_(open("/proc/self/stat", O_RDONLY | O_CLOEXEC)) {}

ApartWriter::~ApartWriter() {
    if (pid_ < 0) return;
    const bool is_done = wait_until_written(last_patience_);
    close(std::exchange(socket_, -1));
    const auto give_up = Clock::now() + longest_end;
    while (is_done && waitpid(pid_, nullptr, WNOHANG) == 0 && Clock::now() < give_up)
        poll(nullptr, 0, 1);
}

bool ApartWriter::start() {
    if (pid_ >= 0) return true;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
    pid_ = fork();
    if (pid_ == 0) {
        command_line_.replace(own_name);
        copy(ends[1], fd_);
        _exit(0);
    }
    close(ends[1]);
    socket_ = ends[0];
    if (pid_ < 0) let_go();
    return pid_ > 0;
}

std::size_t ApartWriter::write(std::string_view text) {
    // Where there is no room for a process now, there may be for the next text.
    if (!start()) return 0;
    take_answers();
    const ssize_t sent = send(socket_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        // One that was killed is started anew for the next text.
        if (errno != EAGAIN && errno != EINTR) let_go();
        return 0;
    }
    under_way_ += static_cast<std::uint64_t>(sent);
    if (!lags_) lags_ = !wait_until_written(usual_patience);
    return static_cast<std::size_t>(sent);
}

void ApartWriter::take_answers() {
    std::uint64_t written = 0;
    while (recv(socket_, &written, sizeof written, MSG_DONTWAIT) == static_cast<ssize_t>(sizeof written))
        under_way_ -= std::min(under_way_, written);
    lags_ = lags_ && under_way_ > 0;
}

bool ApartWriter::wait_until_written(std::chrono::milliseconds patience) {
    const auto give_up = Clock::now() + patience;
    for (;;) {
        take_answers();
        if (under_way_ == 0) return true;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up - Clock::now());
        if (left <= 0ms) return false;
        pollfd readable{socket_, POLLIN, 0};
        poll(&readable, 1, static_cast<int>(left.count()));
        // Nothing more comes from one that was killed.
        if ((readable.revents & (POLLHUP | POLLERR)) != 0 && (readable.revents & POLLIN) == 0) return false;
    }
}

void ApartWriter::let_go() {
    if (pid_ > 0) waitpid(pid_, nullptr, WNOHANG);
    pid_ = -1;
    if (const int socket = std::exchange(socket_, -1); socket >= 0) close(socket);
    under_way_ = 0;
    lags_ = false;
}

void ApartWriter::was_reaped() {
    pid_ = -1;
    let_go();
}

}  // namespace sema
