#include "tests/support/program.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sema::test {
namespace {

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> environment_of(const ProgramOptions& options) {
    std::vector<std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        if (options.environment.count(text.substr(0, text.find('='))) == 0) all.push_back(text);
    }
    for (const auto& [name, value] : options.environment) {
        if (!value.empty()) all.push_back(name + "=" + value);
    }
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    all.reserve(texts.size() + 1);
    for (std::string& text : texts)
        all.push_back(text.data());
    all.push_back(nullptr);
    return all;
}

void open_as(int number, const char* path, int flags) {
    const int fd = open(path, flags | O_CREAT, 0600);
    if (fd < 0 || dup2(fd, number) < 0) _exit(125);
    if (fd != number) close(fd);
}

}  // namespace

Program::Program(std::vector<std::string> command, ProgramOptions options) {
    const std::string in = folder_.path() / "in";
    const std::string out = folder_.path() / "out";
    const std::string err = folder_.path() / "err";
    std::ofstream(in, std::ios::binary) << options.input;
    std::vector<std::string> environment = environment_of(options);
    const std::vector<char*> argv = pointers(command);
    const std::vector<char*> env = pointers(environment);

    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ != 0) {
        // Done on both sides, so that neither depends on the other's being first. A session's leader leads
        // its group anyway, and could not become one if it led a group before.
        if (options.terminal.empty()) setpgid(pid_, pid_);
        return;
    }

    // If the test program dies at a time-out, this one must not stay.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(125);
    if (options.terminal.empty()) {
        setpgid(0, 0);
        open_as(0, in.c_str(), O_RDONLY);
        open_as(1, out.c_str(), O_WRONLY);
        open_as(2, err.c_str(), O_WRONLY);
    } else {
        setsid();
        for (const int number : {0, 1, 2})
            open_as(number, options.terminal.c_str(), O_RDWR);
        ioctl(0, TIOCSCTTY, 0);
    }
    if (options.network >= 0 && setns(options.network, CLONE_NEWNET) != 0) _exit(125);
    for (int fd = 3; fd < 256; ++fd) {
        const bool passed = std::count(options.passed.begin(), options.passed.end(), fd) != 0;
        fcntl(fd, F_SETFD, passed ? 0 : FD_CLOEXEC);
    }
    // The test program's own main ignores PIPE.
    std::signal(SIGPIPE, SIG_DFL);
    for (const int number : options.ignored)
        std::signal(number, SIG_IGN);
    if (!options.directory.empty() && chdir(options.directory.c_str()) != 0) _exit(125);
    execvpe(argv[0], argv.data(), env.data());
    _exit(127);
}

Program::~Program() {
    signal_group(SIGKILL);
    if (!status_) {
        signal(SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
}

void Program::signal(int number) const {
    if (status_) return;
    number == SIGSTOP ? halt(pid_) : static_cast<void>(kill(pid_, number));
}

void Program::signal_group(int number) const {
    kill(-pid_, number);
}

bool Program::ended() {
    if (status_) return true;
    int raw = 0;
    if (waitpid(pid_, &raw, WNOHANG) != pid_) return false;
    if (WIFSIGNALED(raw)) ended_by_ = WTERMSIG(raw);
    status_ = ended_by_ ? 128 + *ended_by_ : WEXITSTATUS(raw);
    return true;
}

int Program::wait(std::chrono::milliseconds limit) {
    if (!eventually([this] { return ended(); }, limit))
        throw std::runtime_error("the program did not end; it wrote: " + out() + err());
    return *status_;
}

std::string Program::out() const {
    return content(folder_.path() / "out");
}

std::string Program::err() const {
    return content(folder_.path() / "err");
}

bool Program::prints(const std::string& text) {
    return shows(text, &Program::out);
}

bool Program::warns(const std::string& text) {
    return shows(text, &Program::err);
}

bool Program::shows(const std::string& text, std::string (Program::*stream)() const) {
    const auto has = [&] { return (this->*stream)().find(text) != std::string::npos; };
    eventually([&] { return has() || ended(); });
    return has();
}

void halt(pid_t process) {
    ::kill(process, SIGSTOP);
    const auto is_halted = [&] {
        // Of one that has ended there are none.
        std::error_code error;
        for (const auto& thread :
             std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task", error)) {
            std::ifstream stat(thread.path() / "stat");
            std::string text;
            std::getline(stat, text);
            // Behind the name, which is in parentheses. One that has ended does nothing either.
            const auto name_end = text.rfind(')');
            if (name_end == text.npos || text.find_first_of("TZX", name_end) != name_end + 2) return false;
        }
        return true;
    };
    if (!eventually(is_halted)) throw std::runtime_error("a process does not halt");
}

Finished run_program(std::vector<std::string> command, ProgramOptions options) {
    Program program(std::move(command), std::move(options));
    const int status = program.wait();
    return {status, program.out(), program.err()};
}

}  // namespace sema::test
