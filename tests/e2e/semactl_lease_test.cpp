#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// A named pipe that takes nothing more until it is drained.
class FullPipe {
  public:
    explicit FullPipe(std::string path) : path_(std::move(path)) {
        REQUIRE(mkfifo(path_.c_str(), 0600) == 0);
        fd_ = open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
        REQUIRE(fd_ >= 0);
        while (write(fd_, "x", 1) == 1) {
        }
    }
    ~FullPipe() { close(fd_); }
    FullPipe(const FullPipe&) = delete;
    FullPipe& operator=(const FullPipe&) = delete;

    const std::string& path() const { return path_; }
    std::string drain() const {
        std::string all;
        char bytes[4096];
        for (ssize_t size = 0; (size = read(fd_, bytes, sizeof bytes)) > 0;)
            all.append(bytes, static_cast<std::size_t>(size));
        return all;
    }

  private:
    std::string path_;
    int fd_ = -1;
};

}  // namespace

TEST_CASE("a command is stopped before its lease ends") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);

    Program run(Semactl::command({"run", "vsim", "--ttl", "6", "--no-keepalive", "--", "sh", "-c",
                                  "trap 'echo stopping; exit 0' TERM; echo ready; "
                                  "while :; do sleep 0.05; done"}),
                semactl.options());
    REQUIRE(run.prints("ready"));
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(run.prints("stopping"));
    CHECK(std::chrono::steady_clock::now() - begin < 6s);
    CHECK(run.wait() == 79);
    CHECK(run.out() == "ready\nstopping\n");
    // Into a file it may come behind what the command's shell says to the TERM.
    CHECK_THAT(run.err(), has_text("semactl: vsim: the lease is about to end, stopping the command "
                                   "(give a longer --ttl)\n"));
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("a command that ignores TERM is dead, with its tree, before its slot is lent again") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);

    const std::string stubborn =
        "trap '' TERM; echo $$ > command; sh -c 'echo $$ > child; echo ready; while :; do sleep 1; done'";
    ProgramOptions here;
    here.directory = semactl.folder();
    Program first(
        Semactl::command({"run", "vsim", "--ttl", "8", "--no-keepalive", "--", "sh", "-c", stubborn}),
        semactl.options(here));
    REQUIRE(first.prints("ready"));

    // The next holder looks whether anybody of the last one is still there.
    const std::string look =
        "for who in command child; do kill -0 $(cat $who) 2>&- && echo $who lives; done; :";
    const Finished second = semactl({"run", "vsim", "--wait", "60", "--", "sh", "-c", look}, here);
    CHECK(second.status == 0);
    CHECK(second.out.empty());
    CHECK(first.wait() == 79);
}

TEST_CASE("when a lease ends, TERM reaches every process of the command") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    // One in a session of its own, one whose parent is gone.
    const std::string child = "trap \"echo $0 stops; exit\" TERM; while :; do sleep 0.05; done";
    const std::string tree =
        "setsid sh -c '" + child + "' sessionist & (sh -c '" + child + "' orphan &); wait";
    const Finished stopped = semactl({"run", "vsim", "--ttl", "6", "--no-keepalive", "--", "sh", "-c", tree});
    CHECK(stopped.status == 79);
    CHECK_THAT(stopped.out, has_text("sessionist stops") && has_text("orphan stops"));
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("a command that ends within its lease is not touched") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    CHECK(semactl({"run", "vsim", "--ttl", "10", "--", "sleep", "0.5"}).status == 0);
}

TEST_CASE("what semactl's process left behind before the command is not stopped with it") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    // A child of semactl's, with a child of its own that it leaves to semactl: nothing of the command's.
    const std::string script =
        "(sleep 30 >&- 2>&- & echo $! > orphan; until [ -e leave ]; do sleep 0.02; done) & "
        "until [ -s orphan ]; do sleep 0.02; done; "
        "exec " SEMACTL " run vsim --ttl 2 --no-keepalive -- sh -c 'touch leave; sleep 20'";
    ProgramOptions here;
    here.directory = semactl.folder();
    CHECK(run_program({"sh", "-c", script}, semactl.options(here)).status == 79);
    pid_t orphan = -1;
    std::ifstream(semactl.folder() / "orphan") >> orphan;
    const auto process = sema::find_process(orphan, sema::ProcFolder());
    REQUIRE(process);
    CHECK(process->name == "sleep");
    kill(orphan, SIGKILL);
}

TEST_CASE("a grant that lay unread while semactl was stopped is not taken for a fresh lease") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const auto borrow = [&] {
        const std::string out = semactl({"borrow", "vsim", "--ttl", "1h", "--shell"}).out;
        const std::string name = "SEMA_LEASE=";
        return out.substr(out.find(name) + name.size(), 36);
    };
    std::string before = borrow();
    Program late(Semactl::command({"run", "vsim", "--ttl", "2", "--wait", "60", "--", "echo", "served"}),
                 semactl.options());
    // By now it waits in a call that lasts longer than the lease will.
    REQUIRE(late.warns("waiting for vsim: 1st of 1"));
    const auto is_granted_while_stopped = [&] {
        late.signal(SIGSTOP);
        REQUIRE(eventually([&] { return sema::find_process(late.pid(), sema::ProcFolder())->state == 'T'; }));
        REQUIRE(semactl({"return", "vsim", before}).status == 0);
        return semactl.in_use() == 1;
    };
    // It may have been stopped between two calls, and is granted nothing then.
    while (!is_granted_while_stopped()) {
        before = borrow();
        late.signal(SIGCONT);
    }
    REQUIRE(eventually([&] { return semactl.in_use() == 0; }));
    const std::string meanwhile = borrow();

    late.signal(SIGCONT);
    REQUIRE(late.warns("vsim: the slot came too late to be used"));
    CHECK(late.out().empty());
    REQUIRE(semactl({"return", "vsim", meanwhile}).status == 0);
    CHECK(late.wait() == 0);
    CHECK(late.out() == "served\n");
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("a return whose answer is slow or lost is no trouble") {
    const std::string grant =
        http("200 OK", R"({"lease":")" + sema::LeaseId::random().str() +
                           R"(","position":0,"expires_at_unix":2000000000,"expires_in":60})");
    const auto err_with = [&](std::vector<Scene> returns) {
        returns.insert(returns.begin(), {Scene::Wait::for_request, grant});
        ScriptedServer server(returns);
        return Semactl(server.url())({"run", "vsim", "--", "true"}).err;
    };
    CHECK(err_with({{Scene::Wait::for_request, http("200 OK", R"({"returned":true})"), 1000ms}}).empty());
    CHECK(err_with({{Scene::Wait::for_request, ""},
                    {Scene::Wait::for_request, http("200 OK", R"({"returned":false})")}})
              .empty());
}

TEST_CASE("a stderr that nobody reads neither keeps a command alive past its lease nor holds its slot") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const FullPipe pipe(semactl.folder() / "pipe");
    const auto run_there = [&](const std::string& arguments) {
        Program run({"sh", "-c", "exec " SEMACTL " run vsim " + arguments + " 2> " + pipe.path()},
                    semactl.options());
        return run.wait(18s);
    };
    CHECK(run_there("--ttl 2 --no-keepalive -- sh -c 'trap \"\" TERM; while :; do sleep 0.05; done'") == 79);
    CHECK(semactl.in_use() == 0);
    CHECK(run_there("-- sh -c 'sleep 20 >&- & exit 4'") == 4);
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("what stderr did not take at once is said once it does") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const FullPipe pipe(semactl.folder() / "pipe");
    Program run({"sh", "-c", "exec " SEMACTL " -v run vsim -- " SIGNAL_COUNTER " 2> " + pipe.path()},
                semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGUSR1);
    REQUIRE(run.prints("got USR1"));
    // Some of it may come while the pipe is drained.
    std::string said = pipe.drain();
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    said += pipe.drain();
    CHECK_THAT(said, has_text("semactl: vsim: passed USR1 on\nsemactl: vsim: passed USR2 on\n"));
}

TEST_CASE("a stderr that is closed unread changes nothing about the command's status") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    auto pipe = std::make_unique<FullPipe>(semactl.folder() / "pipe");
    ProgramOptions here;
    here.directory = semactl.folder();
    Program run({"sh", "-c",
                 "exec " SEMACTL " run vsim -- sh -c 'sleep 20 >&- 2>&- & "
                 "until [ -e leave ]; do sleep 0.05; done; exit 4' 2> " +
                     pipe->path()},
                semactl.options(here));
    REQUIRE(eventually([&] { return semactl.in_use() == 1; }));
    std::ofstream(semactl.folder() / "leave") << "now";
    REQUIRE(eventually([&] { return semactl.in_use() == 0; }));
    // It still has something to say of what was left running.
    pipe.reset();
    CHECK(run.wait() == 4);
}
