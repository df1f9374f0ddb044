#include "tests/e2e/dispatch_farm.hpp"
#include "tests/e2e/semad.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <thread>

using namespace sema::test;

namespace {

bool runs(const Farm& farm, const std::string& id) {
    return eventually([&] {
        const auto status = farm.status();
        for (const auto& task : status.at("tasks")) {
            if (task.at("task") == id && task.at("state") == "running") return true;
        }
        return false;
    });
}

// Those that are the dispatcher's command, and wait for a word of the test.
void write_waiting_jobs(const Farm& farm) {
    farm.script("work",
                "rm -f jobs/\"$1\"; echo \"run $1\" >> log; " + wait_for_go + "; echo \"ran $1\" >> log");
    farm.give("1", "jobs");
}

int pid_in(const Farm& farm, const std::string& file) {
    return std::stoi(farm.text(file));
}

}  // namespace

TEST_CASE("a dispatcher that was killed is followed by one that goes on with its tasks") {
    const Farm farm(3);
    farm.write(farm.head() + farm.starting() +
               "[[backend]]\nname = \"other\"\npoll = [\"./poll\", \"others\"]\nstart = [\"./say\", "
               "\"other\", \"{id}\"]\n");
    farm.give("1");
    farm.give("2");
    const auto killed = farm.dispatch();
    REQUIRE(runs(farm, "1"));
    REQUIRE(runs(farm, "2"));
    killed->signal(SIGKILL);
    killed->wait();
    CHECK(farm.semactl.in_use() == 2);

    // Its sources name them once more, and a task that the next one starts after it found those.
    farm.give("1");
    farm.give("2");
    farm.give("3", "others");
    const auto next = farm.dispatch();
    REQUIRE(farm.has_logged("other 3"));
    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(farm.has_logged("stop 1"));
    CHECK(farm.call({"stop", "2"}).status == 0);
    CHECK(farm.has_logged("stop 2"));
    const std::string log = farm.log();
    CHECK(log.find("start 1") < log.find("stop 1"));
    CHECK(log.substr(0, log.find("stop 1")).find("start 1", log.find("start 1") + 1) == std::string::npos);
}

TEST_CASE("one that lives goes on with the tasks of another of the same file that has ended") {
    const int signal = GENERATE(SIGKILL, SIGTERM);
    CAPTURE(signal);
    const Farm farm(2);
    farm.write(farm.head("slots = 1") + farm.starting());
    farm.give("1");
    const auto first = farm.dispatch();
    REQUIRE(runs(farm, "1"));
    farm.write(farm.head() + farm.starting());
    const auto other = farm.dispatch();
    // The other one alone may start it, and has seen the first one's task by then.
    farm.give("2");
    REQUIRE(runs(farm, "2"));
    first->signal(signal);
    first->wait();
    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(farm.has_logged("stop 1"));
}

TEST_CASE("a start whose dispatcher is killed meanwhile keeps its slot") {
    const Farm farm(1);
    farm.script("start", "rm -f queue/\"$1\"; echo \"begin $1\" >> log; " + wait_for_go +
                             "; echo \"start $1\" >> log");
    farm.write(farm.head() +
               "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"./start\", \"{id}\"]\n"
               "stop = [\"./say\", \"stop\", \"{id}\"]\n");
    farm.give("1");
    const auto killed = farm.dispatch();
    REQUIRE(farm.logs("begin 1\n"));
    killed->signal(SIGKILL);
    killed->wait();
    const auto next = farm.dispatch();
    std::ofstream(farm.folder() / "go") << "";
    REQUIRE(runs(farm, "1"));
    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(farm.logs("begin 1\nstart 1\nstop 1\n"));
}

TEST_CASE("a start that fails after its dispatcher was killed frees its slot") {
    const Farm farm(1);
    farm.script("start", "rm -f queue/\"$1\"; echo \"begin $1\" >> log; " + wait_for_go + "; exit 7");
    // Not by its lease's end.
    farm.write(farm.head("limit = \"1h\"") +
               "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"./start\", \"{id}\"]\n");
    farm.give("1");
    const auto killed = farm.dispatch();
    REQUIRE(farm.logs("begin 1\n"));
    killed->signal(SIGKILL);
    killed->wait();
    CHECK(farm.semactl.in_use() == 1);
    std::ofstream(farm.folder() / "go") << "";
    CHECK(eventually([&] { return farm.semactl.in_use() == 0; }));
}

TEST_CASE("a start that its dispatcher does not end at its limit ends all the same") {
    const std::string what = GENERATE("halted", "killed", "killed with the shell", "killed with a guard");
    CAPTURE(what);
    const Farm farm(1);
    farm.script("start", R"(rm -f queue/"$1"
echo $$ > command
echo $PPID > shell
cut -d ' ' -f 1 /proc/$PPID/task/$PPID/children > guard
(trap '' TERM; exec sleep 1000) &
echo $! > child
echo "begin $1" >> log
exec sleep 1000)");
    farm.write(farm.head("limit = \"3s\"") +
               "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"./start\", \"{id}\"]\n");
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.logs("begin 1\n"));
    dispatcher->signal(what == "halted" ? SIGSTOP : SIGKILL);
    if (what == "killed with the shell") kill(pid_in(farm, "shell"), SIGKILL);
    if (what == "killed with a guard") kill(pid_in(farm, "guard"), SIGKILL);
    CHECK(eventually([&] { return is_over(pid_in(farm, "command")); }));
    CHECK(eventually([&] { return is_over(pid_in(farm, "child")); }));
}

TEST_CASE("a start whose dispatcher is halted meanwhile keeps its slot") {
    const Farm farm(1);
    farm.script("start", "rm -f queue/\"$1\"; echo \"begin $1\" >> log; " + wait_for_go);
    farm.write(farm.head("limit = \"5s\"") +
               "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"./start\", \"{id}\"]\n");
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.logs("begin 1\n"));
    dispatcher->signal(SIGSTOP);
    std::ofstream(farm.folder() / "go") << "";
    CHECK(runs(farm, "1"));
}

TEST_CASE("a dispatcher whose program is replaced goes on with it") {
    const Farm farm(2);
    const std::filesystem::path program = farm.folder() / "program";
    std::vector<std::string> command = Semactl::command({"dispatch", farm.file().string()});
    std::filesystem::copy_file(command.front(), program);
    command.front() = program.string();
    farm.script("start", "rm -f queue/\"$1\"; echo \"begin $1\" >> log; " + wait_for_go);
    farm.script("work", "rm -f jobs/\"$1\"; echo \"run $1\" >> log");
    farm.write(farm.head() +
               "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"./start\", \"{id}\"]\n" +
               farm.running("[\"./work\", \"{id}\"]"));
    farm.give("1", "jobs");
    Program dispatcher(command, farm.environment());
    REQUIRE(farm.logs("run 1\nstop 1\n"));
    std::filesystem::remove(program);
    dispatcher.signal(SIGHUP);
    REQUIRE(dispatcher.warns("again"));
    farm.give("2", "jobs");
    REQUIRE(farm.logs("run 1\nstop 1\nrun 2\nstop 2\n"));
    farm.give("3");
    REQUIRE(farm.has_logged("begin 3"));
    dispatcher.signal(SIGKILL);
    dispatcher.wait();
    std::ofstream(farm.folder() / "go") << "";
    CHECK(runs(farm, "3"));
}

TEST_CASE("an outage of the server in the midst of a start harms no task") {
    const Farm farm(1);
    const std::string server = std::to_string(farm.server.pid());
    farm.script("start", "rm -f queue/\"$1\"; sleep 1000 & echo $! > pid; kill -STOP " + server +
                             "; echo \"start $1\" >> log");
    farm.write(
        farm.head("limit = \"3s\"") +
        "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"./start\", \"{id}\"]\n"
        "stop = [\"./say\", \"stop\", \"{id}\"]\nerror = [\"./say\", \"error\", \"{id}\", \"{call}\"]\n");
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.logs("start 1\n"));
    // What is killed at its limit is gone a second later.
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(6);
    REQUIRE(eventually([&] { return std::chrono::steady_clock::now() > late; }));
    kill(farm.server.pid(), SIGCONT);
    CHECK(runs(farm, "1"));
    CHECK(farm.log() == "start 1\n");
    const int task = std::stoi(farm.text("pid"));
    CHECK(kill(task, SIGKILL) == 0);
}

TEST_CASE("a second signal stops whatever command hangs") {
    const Farm farm(1);
    const std::string what = GENERATE("start", "stop", "error");
    const bool is_once = GENERATE(false, true);
    CAPTURE(what, is_once);
    farm.script("hang", "rm -f queue/\"$2\"; echo \"hang $1\" >> log; trap '' TERM; exec sleep 1000");
    farm.script("fail", "rm -f queue/\"$1\"; exit 1");
    const std::string start = what == "start" ? "./hang\", \"start" : what == "stop" ? "./take" : "./fail";
    farm.write(farm.head("limit = \"1h\"") + "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"" +
               start + "\", \"{id}\"]\n" + (what == "stop" ? "stop = [\"./hang\", \"stop\"]\n" : "") +
               (what == "error" ? "error = [\"./hang\", \"error\"]\n" : ""));
    farm.give("1");
    auto dispatcher =
        farm.dispatch(is_once ? std::vector<std::string>{"--once"} : std::vector<std::string>{});
    if (what == "stop") {
        REQUIRE(runs(farm, "1"));
        if (is_once) {
            CHECK(dispatcher->wait() == 0);
            CHECK(farm.call({"stop", "1"}).status == 0);
            dispatcher = farm.dispatch({"--once"});
        } else {
            CHECK(farm.call({"stop", "1"}).status == 0);
        }
    }
    REQUIRE(farm.has_logged("hang " + what));
    dispatcher->signal(SIGTERM);
    if (!is_once) REQUIRE(dispatcher->warns("waiting for 1 command"));
    // Where it was not seen as the first one another is the second.
    CHECK(eventually([&] {
        dispatcher->signal(SIGTERM);
        return dispatcher->ended();
    }));
    CHECK(dispatcher->wait() == 0);
}

TEST_CASE("the next dispatcher of a file stops what ended while there was none") {
    const Farm farm(2);
    farm.write(farm.head() + farm.starting());
    farm.give("1");
    farm.give("2");
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    REQUIRE(farm.tasks() == 2);
    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    CHECK(farm.logs("start 1\nstart 2\nstop 1\n"));
    // Once.
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    CHECK(farm.log() == "start 1\nstart 2\nstop 1\n");
    CHECK(farm.tasks() == 1);
}

TEST_CASE("a copy of a machine does not go on with the tasks of the first one") {
    const Farm farm(2);
    std::ofstream(farm.folder() / "id") << "0123456789abcdef0123456789abcdef\n";
    std::vector<std::string> elsewhere = {"unshare",
                                          "-m",
                                          "sh",
                                          "-c",
                                          "mount --bind \"$0\" /etc/machine-id && exec \"$@\"",
                                          (farm.folder() / "id").string()};
    std::vector<std::string> trial = elsewhere;
    trial.push_back("true");
    if (run_program(trial).status != 0) {
        WARN("this process may not mount, or there is no /etc/machine-id");
        return;
    }
    for (std::string& word : Semactl::command({"dispatch", "--once", farm.file().string()}))
        elsewhere.push_back(std::move(word));
    farm.write(farm.head() + farm.starting());
    farm.give("1");
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(run_program(elsewhere, farm.environment()).status == 0);
    CHECK(farm.log() == "start 1\n");
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    CHECK(farm.log() == "start 1\nstop 1\n");
}

TEST_CASE("one pass ends what timed out since the last one") {
    const Farm farm(1);
    farm.write(farm.head("timeout = \"1s\"") + farm.starting());
    farm.give("1");
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    REQUIRE(eventually([&] {
        const auto tasks = farm.status().at("tasks");
        return tasks.size() == 1 && tasks.at(0).at("times_out_in") == 0;
    }));
    CHECK(eventually([&] { return farm.dispatch({"--once"})->wait() == 0 && farm.tasks() == 0; }));
    CHECK(farm.log() == "start 1\ntimeout 1\nstop 1\n");
}

TEST_CASE("a server that lends no slot for long enough is told, and nothing is started") {
    const Farm farm(1, {"--max-ttl", "40s"});
    farm.write(farm.head() + farm.starting());
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    CHECK(dispatcher->wait() == 125);
    CHECK(dispatcher->err().find("the server lends no slot for longer than 40s") != std::string::npos);
    CHECK(dispatcher->err().find("--max-ttl") != std::string::npos);
    CHECK(farm.log().empty());
    CHECK(farm.semactl.in_use() == 0);
}

TEST_CASE("a command that is the task ends with a dispatcher that is killed, and its slot is returned") {
    const Farm farm(1);
    farm.script("work", "rm -f jobs/\"$1\"; echo $$ > pid; exec sleep 1000");
    farm.give("1", "jobs");
    farm.write(farm.head() + farm.running("[\"./work\", \"{id}\"]"));
    const auto killed = farm.dispatch();
    REQUIRE(eventually([&] { return !farm.text("pid").empty(); }));
    killed->signal(SIGKILL);
    killed->wait();
    CHECK(eventually([&] { return farm.semactl.in_use() == 0; }));
    CHECK(eventually([&] { return is_over(pid_in(farm, "pid")); }));
}

TEST_CASE("after a TERM no task is started, commands are waited for, and started tasks go on") {
    const Farm farm(3);
    write_waiting_jobs(farm);
    farm.give("started");
    farm.write(farm.head() + farm.starting() + farm.running("[\"./work\", \"{id}\"]"));
    const auto dispatcher = farm.dispatch();
    REQUIRE(runs(farm, "1"));
    REQUIRE(runs(farm, "started"));
    REQUIRE(farm.has_logged("run 1"));
    dispatcher->signal(SIGTERM);
    REQUIRE(dispatcher->warns("waiting for 1 command"));
    farm.give("late");
    std::ofstream(farm.folder() / "go") << "";
    CHECK(dispatcher->wait() == 0);
    CHECK(farm.has_logged("stop 1"));
    CHECK(farm.log().find("late") == std::string::npos);
    CHECK(farm.log().find("stop started") == std::string::npos);
    CHECK(farm.tasks() == 1);
}

TEST_CASE("commands that are not waited for any longer are stopped") {
    const Farm farm(1);
    write_waiting_jobs(farm);
    farm.write(farm.head() + farm.running("[\"./work\", \"{id}\"]"));
    std::vector<std::string> options;
    bool is_asked_twice = false;
    SECTION("once the patience is over") {
        options = {"--patience", "100ms"};
    }
    SECTION("at a second signal") {
        is_asked_twice = true;
    }
    const auto dispatcher = farm.dispatch(options);
    REQUIRE(farm.logs("run 1\n"));
    dispatcher->signal(SIGTERM);
    if (is_asked_twice) {
        REQUIRE(dispatcher->warns("waiting for 1 command"));
        dispatcher->signal(SIGINT);
    }
    CHECK(dispatcher->wait() == 0);
    CHECK(farm.log() == "run 1\nstop 1\n");
    CHECK(farm.semactl.in_use() == 0);
}

TEST_CASE("commands are stopped while the server does not answer, too") {
    const Farm farm(1);
    write_waiting_jobs(farm);
    farm.write(farm.head() + farm.running("[\"./work\", \"{id}\"]"));
    const bool is_asked_twice = GENERATE(true, false);
    const auto dispatcher = farm.dispatch(is_asked_twice ? std::vector<std::string>{}
                                                         : std::vector<std::string>{"--patience", "1s"});
    REQUIRE(farm.logs("run 1\n"));
    halt(farm.server.pid());
    const auto begin = std::chrono::steady_clock::now();
    dispatcher->signal(SIGTERM);
    // The one is read before the other comes.
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    if (is_asked_twice) dispatcher->signal(SIGTERM);
    CHECK(farm.has_logged("stop 1"));
    // No call on the server is waited for, which would take 5 s each, and the return of the slot as long.
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(13));
    kill(farm.server.pid(), SIGCONT);
    CHECK(dispatcher->wait() == 0);
}

TEST_CASE("a HUP reads the file again") {
    const Farm farm(2);
    farm.write(farm.head() + farm.starting());
    const auto dispatcher = farm.dispatch();
    farm.give("1");
    REQUIRE(farm.has_logged("start 1"));
    farm.write(farm.head() + "[[backend]]\n");
    dispatcher->signal(SIGHUP);
    REQUIRE(dispatcher->warns("a backend needs a name (going on with what the file said before)"));
    farm.write(farm.head() +
               "[[backend]]\nname = \"other\"\npoll = [\"./poll\", \"others\"]\nstart = [\"./say\", "
               "\"other\", \"{id}\"]\n");
    farm.give("2", "others");
    dispatcher->signal(SIGHUP);
    REQUIRE(dispatcher->warns("again"));
    CHECK(farm.has_logged("other 2"));
    // The task of the backend that is gone ends as it would have.
    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(farm.has_logged("stop 1"));
}

TEST_CASE("a HUP resizes a pool of the dispatcher's own") {
    Farm farm(0);
    const auto file = [&](int slots) {
        farm.write("slots = " + std::to_string(slots) + "\ninterval = \"500ms\"\n" + farm.starting());
    };
    file(1);
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.has_logged("start 1"));
    farm.give("2");
    file(2);
    dispatcher->signal(SIGHUP);
    CHECK(farm.has_logged("start 2"));
    CHECK(farm.status().at("count") == 2);

    farm.server.kill9();
    file(3);
    dispatcher->signal(SIGHUP);
    CHECK(
        dispatcher->warns("the pool keeps the slots that it has (going on with what the file said before)"));
    farm.server.start();
    CHECK(farm.status().at("count") == 2);
}

TEST_CASE("one pass is what cron wants") {
    const Farm farm(2);
    farm.script("work", "rm -f jobs/\"$1\"; echo \"run $1\" >> log");
    farm.give("1");
    farm.give("2", "jobs");
    farm.give("3", "jobs");
    farm.write(farm.head() + farm.starting() + farm.running("[\"./work\", \"{id}\"]"));
    const auto pass = farm.dispatch({"--once"});
    CHECK(pass->wait() == 0);
    CHECK(farm.log() == "start 1\nrun 2\nstop 2\n");
    CHECK(farm.tasks() == 1);
}

TEST_CASE("one pass asks a source that goes on naming a started task for no longer than the interval") {
    const Farm farm(2);
    farm.script("poll", "echo asked >> polled; echo 1");
    farm.write("pool = \"vsim\"\ninterval = \"1s\"\n" + farm.starting());
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    CHECK(farm.log() == "start 1\n");
    // After pauses of 0.2, 0.2 and 0.4 s. It would go on until the start is 10 s ago, each second.
    const std::string polled = farm.text("polled");
    CHECK(std::count(polled.begin(), polled.end(), '\n') > 1);
    CHECK(std::count(polled.begin(), polled.end(), '\n') < 9);
}

TEST_CASE("a file without a pool has one of its own, which stays the same") {
    const Farm farm(0);
    farm.write("slots = 2\ninterval = \"500ms\"\n" + farm.starting());
    CHECK(farm.call({"status"}).status == 66);
    farm.give("1");
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    REQUIRE(farm.tasks() == 1);
    CHECK(farm.status().at("count") == 2);
    farm.write("slots = 3\ninterval = \"500ms\"\n" + farm.starting());
    CHECK(farm.dispatch({"--once"})->wait() == 0);
    CHECK(farm.status().at("count") == 3);
    CHECK(farm.call({"stop", "1"}).status == 0);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(farm.folder() / "state")) {
        if (!entry.is_regular_file()) continue;
        CHECK(entry.status().permissions() == std::filesystem::perms(0600));
    }
}

TEST_CASE("a dispatcher whose state cannot be written says why, and leaves nothing") {
    const bool has_own_pool = GENERATE(false, true);
    CAPTURE(has_own_pool);
    const Farm farm(1);
    farm.write((has_own_pool ? "slots = 1\n" : farm.head()) + farm.starting());
    ProgramOptions options = farm.environment();
    // As a full disk: no file may grow. What the program says goes through a pipe.
    options.ignored = {SIGXFSZ};
    std::vector<std::string> command = {"sh", "-c",
                                        "((ulimit -f 0; exec \"$0\" \"$@\") 2>&1; echo \"status $?\") | cat"};
    for (std::string& word : Semactl::command({"dispatch", farm.file().string()}))
        command.push_back(std::move(word));
    const Finished refused = run_program(command, options);
    INFO(refused.out);
    CHECK(refused.out.find(std::generic_category().message(EFBIG)) != std::string::npos);
    CHECK(refused.out.find("too many") == std::string::npos);
    CHECK(refused.out.find("/state/semactl/dispatch-") != std::string::npos);
    CHECK(refused.out.find("<UUID>") == std::string::npos);
    CHECK(refused.out.find("status 125\n") != std::string::npos);
    // Others may wait for the lock of the file with a pool.
    if (!has_own_pool) CHECK(std::filesystem::is_empty(farm.folder() / "state" / "semactl"));
}

TEST_CASE("a state file with something else in it is named and left as it is") {
    const std::string kind = GENERATE(".pool", ".lock");
    CAPTURE(kind);
    const Farm farm(0);
    farm.write("slots = 1\n" + farm.starting());
    REQUIRE(farm.dispatch({"--once"})->wait() == 0);
    std::filesystem::path path;
    for (const auto& entry : std::filesystem::directory_iterator(farm.folder() / "state" / "semactl")) {
        if (entry.path().extension() == kind) path = entry.path();
    }
    REQUIRE_FALSE(path.empty());
    const auto refuses = [&](const Finished& refused) {
        INFO(refused.err);
        CHECK(refused.status == 125);
        CHECK(refused.err.find(path.string() + " holds no UUID") != std::string::npos);
        CHECK(farm.text(path.lexically_relative(farm.folder()).string()) == "something else\n");
    };
    std::ofstream(path) << "something else\n";
    refuses(run_program(Semactl::command({"dispatch", "--once", farm.file().string()}), farm.environment()));
    if (kind == ".pool") refuses(farm.call({"status"}));
    std::ofstream(path) << "";
    CHECK(farm.dispatch({"--once"})->wait() == 0);
}

TEST_CASE("a pool that is drained starts no task, and lets those that run end") {
    const Farm farm(2);
    farm.write(farm.head() + farm.starting());
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(runs(farm, "1"));
    const Finished drained = farm.call({"drain"});
    CHECK(drained.status == 0);
    CHECK(drained.err.find("1 task goes on") != std::string::npos);
    farm.give("2");
    CHECK(farm.call({"drain", "--wait", "100ms"}).status == 75);
    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(farm.has_logged("stop 1"));
    CHECK(farm.call({"drain", "--wait", "30s"}).status == 0);
    CHECK(farm.call({"status"}).out == "vsim: 0 tasks, 0 of 2 slots available, 2 out of service\n");
    CHECK(farm.status().at("out_of_service") == 2);
    CHECK(farm.log().find("start 2") == std::string::npos);
    CHECK(farm.call({"drain", "--undo"}).status == 0);
    CHECK(farm.has_logged("start 2"));
}

TEST_CASE("an outage of the server harms no task") {
    Farm farm(2);
    write_waiting_jobs(farm);
    farm.give("started");
    farm.write(farm.head() + farm.starting() + farm.running("[\"./work\", \"{id}\"]"));
    const auto dispatcher = farm.dispatch();
    REQUIRE(runs(farm, "1"));
    REQUIRE(runs(farm, "started"));
    // The command's semactl has taken the lease over by then. It writes to the same file, and in an outage it
    // says "(trying again for ..." itself, maybe before the dispatcher has asked the server.
    REQUIRE(farm.has_logged("run 1"));
    farm.server.kill9();
    REQUIRE(dispatcher->warns("(trying again)"));
    farm.server.start();
    REQUIRE(dispatcher->warns("available again"));
    CHECK(farm.tasks() == 2);
    std::ofstream(farm.folder() / "go") << "";
    CHECK(farm.has_logged("stop 1"));
    CHECK(farm.call({"stop", "started"}).status == 0);
    CHECK(farm.has_logged("stop started"));
    CHECK(farm.log().find("error") == std::string::npos);
}

TEST_CASE("a revoked task is stopped") {
    const Farm farm(1);
    farm.write(farm.head() + farm.starting());
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(runs(farm, "1"));
    CHECK(farm.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(farm.has_logged("stop 1"));
}

TEST_CASE("what is wrong ends a dispatcher at once, with the status of that") {
    const Farm farm(1);
    const auto status_of = [&](const std::string& text, const std::string& message) {
        farm.write(text);
        const auto dispatcher = farm.dispatch();
        const int status = dispatcher->wait();
        INFO(dispatcher->err());
        CHECK(dispatcher->err().find(message) != std::string::npos);
        return status;
    };
    CHECK(status_of(farm.head() + "[[backend]]\nname = \"b\"\n", "farm.toml:4: the backend b needs poll") ==
          2);
    CHECK(status_of("pool = \"other\"\n" + farm.starting(), "'other' is no pool") == 2);
    CHECK(status_of("pool = \"" + sema::PoolId::random().str() + "\"\n" + farm.starting(), "no such pool") ==
          66);
    farm.write(farm.head() + farm.starting());
    ProgramOptions away = farm.environment();
    away.environment["SEMACTL_SERVER"] = "http://127.0.0.1:9";
    const Finished unreachable = run_program(Semactl::command({"dispatch", farm.file().string()}), away);
    CHECK(unreachable.status == 69);
    CHECK(farm.semactl({"dispatch", "no-such-file"}).status == 2);
    CHECK(farm.semactl({"dispatch", "stop", "1"}).status == 2);
    CHECK(farm.semactl({"dispatch", "start", "1", "x"}).status == 2);
    const Finished bare = farm.semactl({"dispatch"});
    CHECK(bare.status == 2);
    CHECK(bare.err.find("WORD is missing: the FILE alone, or stop ID FILE") != std::string::npos);
    CHECK(farm.call({"status", "--once"}).status == 2);
}
