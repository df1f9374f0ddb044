// What semactl leaves whoever waits for it to see of a signal.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// A server with a pool of one slot, and semactl to use it.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }
    void take_the_slot() const { REQUIRE(semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0); }

    RunningServer server;
    Semactl semactl{server.url()};
};

// A pipe that takes nothing more until it is read.
class FullPipe {
  public:
    FullPipe() {
        REQUIRE(pipe2(ends_.data(), O_CLOEXEC) == 0);
        // As a file of its own: the programs' end is to block.
        const int end = open(path().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        REQUIRE(end >= 0);
        const std::string text(4096, 'x');
        while (write(end, text.data(), text.size()) > 0) {
        }
        CHECK(errno == EAGAIN);
        close(end);
        capacity_ = held();
    }
    ~FullPipe() {
        for (const int end : ends_)
            close(end);
    }
    FullPipe(const FullPipe&) = delete;
    FullPipe& operator=(const FullPipe&) = delete;

    int end() const { return ends_[1]; }
    // What that end is for whoever has it.
    std::string path() const { return "/proc/self/fd/" + std::to_string(ends_[1]); }
    // Takes no more than 4096 bytes from here on.
    void make_room() const { REQUIRE(taken(4096).size() == 4096); }
    bool is_full() const { return held() == capacity_; }
    // What programs have written, and was not read yet.
    std::string rest() const {
        const std::string text = taken(static_cast<std::size_t>(held()));
        return text.substr(std::min(text.find_first_not_of('x'), text.size()));
    }
    // Reads until what comes ends so.
    bool gives(const std::string& last) const {
        std::string text;
        std::array<char, 4096> bytes{};
        while (text.size() < last.size() || text.substr(text.size() - last.size()) != last) {
            pollfd readable{ends_[0], POLLIN, 0};
            if (poll(&readable, 1, 30'000) <= 0) return false;
            const ssize_t size = read(ends_[0], bytes.data(), bytes.size());
            if (size <= 0) return false;
            text.append(bytes.data(), static_cast<std::size_t>(size));
        }
        return true;
    }

  private:
    int held() const {
        int size = -1;
        REQUIRE(ioctl(ends_[0], FIONREAD, &size) == 0);
        return size;
    }
    // So much of what it holds.
    std::string taken(std::size_t size) const {
        std::string text(size, '\0');
        text.resize(static_cast<std::size_t>(std::max<ssize_t>(read(ends_[0], text.data(), size), 0)));
        return text;
    }

    std::array<int, 2> ends_{};
    int capacity_ = 0;
};

// A program whose stdout that pipe is.
Program start_into(const FullPipe& pipe, const std::vector<std::string>& words, const Semactl& semactl) {
    ProgramOptions options = semactl.options();
    options.passed = {pipe.end()};
    std::vector<std::string> command = {"sh", "-c", "exec \"$@\" >" + pipe.path(), "sh"};
    for (const std::string& word : Semactl::command(words))
        command.push_back(word);
    return Program(command, options);
}

}  // namespace

TEST_CASE("semactl ends by the signal that ended the command, and leaves no core") {
    const World world;
    // 32 and 33 are libc's own.
    const int number =
        GENERATE(SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGKILL, SIGSEGV, SIGABRT, SIGPIPE, SIGUSR1, 32, 33);
    ProgramOptions here;
    here.directory = world.semactl.folder();
    const std::string script = "ulimit -c unlimited; exec " SEMACTL
                               " run vsim -- sh -c 'ulimit -c 0; kill -" +
                               std::to_string(number) + " $$'";
    Program run({"sh", "-c", script}, world.semactl.options(here));
    CHECK(run.wait() == 128 + number);
    CHECK(run.ended_by() == number);
    CHECK(world.semactl.in_use() == 0);
    // Nothing but the configuration's folder.
    CHECK(std::distance(std::filesystem::directory_iterator(here.directory), {}) == 1);
}

TEST_CASE("a command that exits with a number of a shell's for a signal has semactl exit with it") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--", "sh", "-c", "exit 130"}), world.semactl.options());
    CHECK(run.wait() == 130);
    CHECK_FALSE(run.ended_by());
}

TEST_CASE("a command that exits with a status of its own at a TERM has semactl exit with it") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--", "sh", "-c",
                                  "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"}),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 0);
    CHECK_FALSE(run.ended_by());
}

TEST_CASE("who leaves the queue at a signal ends by it") {
    const World world;
    world.take_the_slot();
    const int number = GENERATE(SIGTERM, SIGINT, SIGHUP, SIGQUIT);
    const std::vector<std::string> command =
        GENERATE(std::vector<std::string>{"run", "vsim", "--wait", "1h", "--", "true"},
                 std::vector<std::string>{"borrow", "vsim", "--ttl", "1h", "--wait", "1h"});
    Program queued(Semactl::command(command), world.semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));
    queued.signal(number);
    queued.wait();
    CHECK(queued.ended_by() == number);
}

TEST_CASE("a watch ends by the signal that ends it") {
    const World world;
    const int number = GENERATE(SIGTERM, SIGINT);
    Program watch(Semactl::command({"watch", "vsim"}), world.semactl.options());
    REQUIRE(watch.prints("available"));
    watch.signal(number);
    watch.wait();
    CHECK(watch.ended_by() == number);
}

TEST_CASE("a shell's lines for a borrow that a signal ended say so with the shell's number") {
    const World world;
    world.take_the_slot();
    Program queued(Semactl::command({"borrow", "vsim", "--ttl", "1h", "--wait", "1h", "--shell"}),
                   world.semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));
    queued.signal(SIGTERM);
    queued.wait();
    CHECK(queued.out() == "(exit 143)\n");
}

TEST_CASE("a Ctrl-C ends the loop of a shell, as it would without semactl") {
    const World world;
    const bool is_queued = GENERATE(false, true);
    if (is_queued) world.take_the_slot();
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    Program shell({"bash", "-c",
                   "for i in 1 2 3; do echo round $i; " SEMACTL
                   " run vsim --wait 1h -- sh -c 'echo running; exec sleep 60'; done"},
                  world.semactl.options(options));
    REQUIRE(terminal.shows(is_queued ? "waiting for vsim" : "running"));
    terminal.type(ctrl_c);
    CHECK(shell.wait() == 128 + SIGINT);
    CHECK(shell.ended_by() == SIGINT);
    CHECK(terminal.screen().find("round 2") == std::string::npos);
}

TEST_CASE("a command that a signal ended stops xargs, as it would without semactl") {
    const World world;
    ProgramOptions options;
    options.input = "1 2 3";
    const Finished run = run_program(
        {"xargs", "-n", "1", SEMACTL, "run", "vsim", "--", "sh", "-c", "echo round $0; kill -INT $$"},
        world.semactl.options(options));
    CHECK(run.status == 125);
    CHECK(run.out == "round 1\n");
}

TEST_CASE("as process 1, which no signal of its own ends, semactl exits with the shell's number") {
    if (run_program({"unshare", "--user", "--map-root-user", "--pid", "--fork", "true"}).status != 0) {
        WARN("no namespaces can be made here");
        return;
    }
    const World world;
    const Finished run =
        run_program({"unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", SEMACTL,
                     "run", "vsim", "--", "sh", "-c", "kill -TERM $$"},
                    world.semactl.options());
    CHECK(run.status == 128 + SIGTERM);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a borrow whose output is not read ends by a signal, and returns the lease that nobody knows of") {
    const World world;
    world.take_the_slot();
    const bool is_for_shell = GENERATE(false, true);
    const int number = GENERATE(SIGTERM, SIGINT);
    CAPTURE(is_for_shell, number);
    const FullPipe pipe;
    std::vector<std::string> words = {"borrow", "vsim", "--ttl", "1h", "--wait", "1h"};
    if (is_for_shell) words.emplace_back("--shell");
    Program borrower = start_into(pipe, words, world.semactl);
    REQUIRE(borrower.warns("waiting for vsim"));
    REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    // What it says before it prints the lease.
    REQUIRE(borrower.warns("vsim: position 0"));
    borrower.signal(number);
    borrower.wait();
    CHECK(borrower.ended_by() == number);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a shell that evaluates a part of a lease fails") {
    const World world;
    REQUIRE(world.semactl({"register", "vsim", "--slot", std::string(20'000, 'A')}).status == 0);
    const FullPipe pipe;
    pipe.make_room();
    Program borrower =
        start_into(pipe, {"borrow", "vsim", "--ttl", "1h", "--slots", "1", "--shell"}, world.semactl);
    REQUIRE(eventually([&] { return pipe.is_full(); }));
    borrower.signal(SIGKILL);
    borrower.wait();
    const std::string part = pipe.rest();
    CHECK_THAT(part, has_text("export SEMA_POSITION=0\nexport SEMA_LEASE="));
    for (const char* shell : {"bash", "dash"}) {
        CAPTURE(shell);
        const Finished run = run_program({shell, "-c", "eval \"$1\" && echo GOES ON", "sh", part});
        CHECK(run.status != 0);
        CHECK(run.out.empty());
    }
}

TEST_CASE("a borrow without a lease whose output is not read ends by a signal") {
    const World world;
    world.take_the_slot();
    const FullPipe pipe;
    Program borrower = start_into(pipe, {"borrow", "vsim", "--ttl", "1h", "--shell"}, world.semactl);
    REQUIRE(borrower.warns("no slot is free"));
    borrower.signal(SIGTERM);
    borrower.wait();
    CHECK(borrower.ended_by() == SIGTERM);
}

TEST_CASE("a lease is printed whole into a pipe that is read late") {
    const World world;
    const FullPipe pipe;
    Program borrower = start_into(pipe, {"--output", "json", "borrow", "vsim", "--ttl", "1h"}, world.semactl);
    REQUIRE(eventually([&] { return world.semactl.in_use() == 1; }));
    REQUIRE(pipe.gives("}\n"));
    CHECK(borrower.wait() == 0);
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a lease that ends before its output is read is not printed") {
    const World world;
    const bool is_for_shell = GENERATE(false, true);
    CAPTURE(is_for_shell);
    const FullPipe pipe;
    std::vector<std::string> words = {"borrow", "vsim", "--ttl", "6"};
    if (is_for_shell) words.emplace_back("--shell");
    Program borrower = start_into(pipe, words, world.semactl);
    REQUIRE(borrower.warns("vsim: the lease's time was over before the standard output was read"));
    if (is_for_shell) CHECK(pipe.gives("x(exit 125)\n"));
    CHECK(borrower.wait() == 125);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE(
    "a lease that ends while a borrow is stopped that has printed a part of it is an error to a shell") {
    const World world;
    REQUIRE(world.semactl({"register", "vsim", "--slot", std::string(20'000, 'A')}).status == 0);
    const FullPipe pipe;
    pipe.make_room();
    Program borrower =
        start_into(pipe, {"borrow", "vsim", "--ttl", "6", "--slots", "1", "--shell"}, world.semactl);
    REQUIRE(eventually([&] { return pipe.is_full(); }));
    borrower.signal(SIGTSTP);
    REQUIRE(eventually([&] { return world.semactl.in_use() == 0; }));
    borrower.signal(SIGCONT);
    CHECK(pipe.gives("(exit 125)\n"));
    CHECK(borrower.wait() == 125);
}

TEST_CASE("a lease that its user named is not returned by a borrow that could not print it, which says so") {
    const World world;
    const FullPipe pipe;
    Program borrower = start_into(
        pipe, {"-v", "borrow", "vsim", "--ttl", "1h", "--lease", "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34"},
        world.semactl);
    REQUIRE(borrower.warns("vsim: position 0"));
    borrower.signal(SIGTERM);
    borrower.wait();
    CHECK(borrower.ended_by() == SIGTERM);
    CHECK_THAT(borrower.err(), has_text("the lease that --lease names is held, and is not returned"));
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a borrow whose output fails says that the lease is held which its user named") {
    const World world;
    const Finished borrowed = run_program(
        {"sh", "-c",
         SEMACTL " borrow vsim --ttl 1h --lease 3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34 > /dev/full"},
        world.semactl.options());
    CHECK(borrowed.status == 125);
    CHECK_THAT(borrowed.err, has_text("cannot write to the standard output") &&
                                 has_text("the lease that --lease names is held, and is not returned"));
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a watch whose output is not read stops at a Ctrl-Z, and goes on in the midst of a line") {
    const World world;
    REQUIRE(world.semactl({"register", "vsim", "--count", "3"}).status == 0);
    // The pipe takes a part of such a line.
    const std::string url = "https://ci.example.com/" + std::string(2000, 'u');
    for (int i = 0; i < 3; ++i)
        REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "1h", "--holder-url", url}).status == 0);
    const FullPipe pipe;
    pipe.make_room();
    Program watch = start_into(pipe, {"watch", "vsim"}, world.semactl);
    REQUIRE(eventually([&] { return pipe.is_full(); }));
    const auto is_stopped = [&] { return sema::find_process(watch.pid(), sema::ProcFolder())->state == 'T'; };
    watch.signal(SIGTSTP);
    REQUIRE(eventually(is_stopped));
    watch.signal(SIGCONT);
    REQUIRE(eventually([&] { return !is_stopped(); }));
    CHECK(pipe.gives("}\n"));
    watch.signal(SIGTERM);
    watch.wait();
    CHECK(watch.ended_by() == SIGTERM);
}
