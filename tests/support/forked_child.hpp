#pragma once

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

namespace sema::test {

/// A second process that runs a function of the test's and reports to it line by line: for what only
/// another process can show, such as locks and kills. It is killed at the end of the scope.
///
/// REQUIRES: the test is single-threaded so far, and has no SQLite database open that the child uses.
class ForkedChild {
  public:
    using Report = std::function<void(const std::string& line)>;

    /// The function must not use the test framework's assertions: what the parent should judge, it reports.
    /// An exception is reported as a last line.
    explicit ForkedChild(const std::function<void(const Report&)>& body) {
        int ends[2];
        if (::pipe2(ends, 0) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
        process_ = ::fork();
        if (process_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
        if (process_ == 0) {
            ::close(ends[0]);
            run(body, ends[1]);
        }
        ::close(ends[1]);
        reports_ = ends[0];
    }
    ForkedChild(const ForkedChild&) = delete;
    ForkedChild& operator=(const ForkedChild&) = delete;
    ~ForkedChild() {
        kill();
        ::close(reports_);
    }

    /// The next line that the child reports; nothing once it has ended. Throws after 30 s of silence.
    std::optional<std::string> next_line() {
        for (;;) {
            const auto end = unread_.find('\n');
            if (end != std::string::npos) {
                std::string line = unread_.substr(0, end);
                unread_.erase(0, end + 1);
                return line;
            }
            if (!read_more()) return std::nullopt;
        }
    }

    /// Ends the child as `kill -9` does, and returns once it is gone. Its reports can still be read.
    void kill() {
        if (process_ <= 0) return;
        ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
        process_ = 0;
    }

  private:
    [[noreturn]] static void run(const std::function<void(const Report&)>& body, int pipe) {
        // So that a parent which dies at a time-out leaves nobody behind.
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const Report report = [pipe](const std::string& line) {
            const std::string bytes = line + '\n';
            if (::write(pipe, bytes.data(), bytes.size()) < 0) ::_exit(1);
        };
        try {
            body(report);
        } catch (const std::exception& error) {
            report(std::string("exception: ") + error.what());
        }
        ::_exit(0);
    }

    bool read_more() {
        pollfd readable{reports_, POLLIN, 0};
        if (::poll(&readable, 1, 30'000) <= 0) throw std::runtime_error("the child was silent for 30 s");
        char bytes[4096];
        const ssize_t size = ::read(reports_, bytes, sizeof bytes);
        if (size <= 0) return false;
        unread_.append(bytes, static_cast<std::size_t>(size));
        return true;
    }

    pid_t process_ = 0;
    int reports_ = -1;
    std::string unread_;
};

}  // namespace sema::test
