#include "server/log_output.hpp"

#include "common/error.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <string_view>
#include <system_error>
#include <utility>

namespace sema {
namespace {

// Some ten thousand requests.
constexpr std::size_t most_queued = 4 * 1024 * 1024;
// How long a reader may stand still at the end.
constexpr std::chrono::milliseconds last_patience(500);
constexpr int poll_interval_ms = 100;
constexpr std::chrono::milliseconds retry_interval(10);

// Standard error. A pipe or a terminal is opened anew, so that a write to it never waits: that it does not is
// a property of what was opened, which other processes share. What cannot be opened is used as it is.
int open_output() {
    struct stat info {};
    if (::fstat(STDERR_FILENO, &info) != 0 || !(S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode)))
        return STDERR_FILENO;
    const int own = ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return own < 0 ? STDERR_FILENO : own;
}

// A pipe that can be written to takes so much at once, and lines of others are not mixed into that.
std::size_t piece_of(std::string_view text) {
    if (text.size() <= PIPE_BUF) return text.size();
    const auto end = text.rfind('\n', PIPE_BUF - 1);
    return end == text.npos ? PIPE_BUF : end + 1;
}

bool is_writable(int descriptor) {
    pollfd output{descriptor, POLLOUT, 0};
    return poll(&output, 1, poll_interval_ms) > 0;
}

/// How much of it was written; 0: nothing so far. The error is why it cannot be.
Expected<std::size_t> write_some(int descriptor, std::string_view text) {
    if (!is_writable(descriptor)) return 0U;
    const ssize_t size = ::write(descriptor, text.data(), piece_of(text));
    if (size > 0) return static_cast<std::size_t>(size);
    if (errno != EINTR && errno != EAGAIN) return failure(std::generic_category().message(errno));
    // A terminal may have room, and not enough.
    std::this_thread::sleep_for(retry_interval);
    return 0U;
}

}  // namespace

LogOutput::LogOutput(LostLine lost)
    : lost_line_(std::move(lost)), descriptor_(open_output()), thread_([this] { run(); }) {}

LogOutput::~LogOutput() {
    {
        const MutexLock lock(mutex_);
        is_stopping_ = true;
        queued_ += held_;
    }
    changed_.notify_one();
    thread_.join();
    if (descriptor_ != STDERR_FILENO) ::close(descriptor_);
}

void LogOutput::write(std::string line) {
    const MutexLock lock(mutex_);
    if (is_held_) {
        held_ += line;
    } else {
        enqueue(line);
    }
}

void LogOutput::write_first(std::string line) {
    const MutexLock lock(mutex_);
    line += std::exchange(held_, {});
    is_held_ = false;
    enqueue(line);
}

void LogOutput::enqueue(std::string_view line) {
    const bool has_room = queued_.size() + line.size() <= most_queued;
    if (queued_.empty()) changed_.notify_one();
    if (has_room) {
        queued_ += line;
    } else {
        ++lost_;
    }
}

/// Waits for lines. Empty at the end.
std::string LogOutput::take() {
    const MutexLock lock(mutex_);
    while (queued_.empty() && !is_stopping_)
        changed_.wait(mutex_);
    std::string taken = std::exchange(queued_, {});
    if (const auto lost = std::exchange(lost_, 0); lost > 0)
        taken += lost_line_(lost, "nobody read them in time");
    return taken;
}

bool LogOutput::is_stopping() {
    const MutexLock lock(mutex_);
    return is_stopping_;
}

void LogOutput::run() {
    for (std::string taken = take(); !taken.empty(); taken = take())
        write_out(taken);
}

/// All of it, for as long as that takes; at the end, until the reader stands still for too long. Lines that
/// cannot be written are given up, and a line says so before the next one that can.
void LogOutput::write_out(std::string_view text) {
    auto moved_at = std::chrono::steady_clock::now();
    std::string notice;
    while (!text.empty()) {
        if (unwritten_ > 0 && notice.empty())
            notice = (is_cut_ ? "\n" : "") + lost_line_(unwritten_, "they could not be written: " + trouble_);
        const std::string_view next = notice.empty() ? text : std::string_view(notice);
        const auto size = write_some(descriptor_, next);
        if (size == std::size_t{0}) {
            if (is_stopping() && std::chrono::steady_clock::now() > moved_at + last_patience) return;
            continue;
        }
        moved_at = std::chrono::steady_clock::now();
        if (!size) {
            trouble_ = size.error().message;
            notice.clear();
            const std::string_view lines = text.substr(0, text.find('\n', piece_of(text) - 1) + 1);
            unwritten_ += static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
            text.remove_prefix(lines.size());
            continue;
        }
        is_cut_ = next[*size - 1] != '\n';
        if (notice.empty()) {
            text.remove_prefix(*size);
        } else {
            notice.erase(0, *size);
            if (notice.empty()) unwritten_ = 0;
        }
    }
}

}  // namespace sema
