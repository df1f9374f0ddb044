#include "tests/e2e/dispatch_farm.hpp"

#include <csignal>

using namespace sema::test;

namespace {

int end(Program& dispatcher) {
    dispatcher.signal(SIGTERM);
    return dispatcher.wait();
}

/// Those who wait, in their order.
std::vector<std::string> queue(const Farm& farm) {
    const Finished answer = farm.semactl({"--output", "json", "holders", "vsim"});
    INFO(answer.err);
    REQUIRE(answer.status == 0);
    std::vector<std::string> names;
    const auto queue = nlohmann::json::parse(answer.out).at("queue");
    for (const auto& entry : queue)
        names.push_back(entry.at("holder").at("name").get<std::string>());
    return names;
}

}  // namespace

TEST_CASE("a started task goes on until it is stopped from anywhere, and then the next one starts") {
    const Farm farm(1);
    farm.write(farm.head() + farm.starting());
    farm.give("1");
    farm.give("2");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.logs("start 1\n"));
    REQUIRE(eventually([&] { return farm.status().at("tasks").at(0).at("state") == "running"; }));
    const auto task = farm.status().at("tasks").at(0);
    CHECK(task.at("slot") == 0);
    CHECK(task.at("task") == "1");
    CHECK(task.at("backend") == "nightly");
    CHECK(task.at("since_unix").get<std::int64_t>() > 1'600'000'000);
    CHECK(task.at("last_keepalive_unix") >= task.at("since_unix"));
    CHECK(task.at("times_out_in").get<std::int64_t>() > 7 * 3600);

    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(farm.logs("start 1\nstop 1\nstart 2\n"));
    CHECK(end(*dispatcher) == 0);
    // The next dispatcher's.
    CHECK(farm.semactl.in_use() == 1);
}

TEST_CASE("a task that nobody knows is an error with a status of its own") {
    const Farm farm;
    farm.write(farm.head());
    for (const char* action : {"stop", "keepalive"}) {
        const Finished answer = farm.call({action, "unknown"});
        CHECK(answer.status == 67);
        CHECK(answer.err.find("there is no task unknown") != std::string::npos);
    }
}

TEST_CASE("status is a table for people") {
    const Farm farm(1);
    farm.write(farm.head() + farm.starting());
    CHECK(farm.call({"status"}).out == "vsim: 0 tasks, 1 of 1 slots available\n");
    farm.give("job-1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(eventually([&] { return farm.tasks() == 1; }));
    const std::string table = farm.call({"status"}).out;
    for (const char* word :
         {"SLOT", "TASK", "BACKEND", "SINCE", "LAST KEEPALIVE", "TIMES OUT IN", "job-1", "nightly"})
        CHECK(table.find(word) != std::string::npos);
    // The table of holders shows the task, and nothing of what is for schedulers.
    const std::string holders = farm.semactl({"who", "vsim"}).out;
    CHECK(holders.find("nightly: job-1") != std::string::npos);
    CHECK(holders.find("sema-task") == std::string::npos);
}

TEST_CASE("every command knows its task, and no shell is between") {
    const Farm farm(0);
    REQUIRE(farm.semactl({"register", "vsim", "--slot", "/dev/ttyUSB0"}).status == 0);
    const std::string shown =
        "echo \"$1 [$2] $SEMA_TASK $SEMA_BACKEND $SEMA_POSITION $SEMA_SLOT $SEMA_FENCE ${#SEMA_LEASE}\"";
    farm.script("show", shown + " >> log");
    farm.script("work", "rm -f jobs/*; " + shown + " >> log");
    farm.give("a b;$(x)", "jobs");
    farm.write(farm.head() +
               "[[backend]]\nname = \"jobs\"\npoll = [\"./poll\", \"jobs\"]\n"
               "run = [\"./work\", \"run\", \"<{id}>\"]\nstop = [\"./show\", \"stop\", \"{id}\"]\n");
    const auto dispatcher = farm.dispatch();
    CHECK(
        farm.logs("run [<a b;$(x)>] a b;$(x) jobs 0 /dev/ttyUSB0 1 36\n"
                  "stop [a b;$(x)] a b;$(x) jobs 0 /dev/ttyUSB0 1 36\n"));
    CHECK(eventually([&] { return farm.semactl.in_use() == 0; }));
}

TEST_CASE("no command finds the pool's UUID") {
    const Farm farm(2);
    farm.script("show", "rm -f \"$2\"; env | sort > \"$1\"; cat >> \"$1\"");
    farm.give("1");
    farm.give("2", "jobs");
    farm.write(
        farm.head() +
        "[[backend]]\nname = \"a\"\npoll = [\"./poll\"]\nstart = [\"./show\", \"started\", \"queue/1\"]\n"
        "[[backend]]\nname = \"b\"\npoll = [\"./poll\", \"jobs\"]\nrun = [\"./show\", \"ran\", "
        "\"jobs/2\"]\n");
    const auto dispatcher = farm.dispatch();
    for (const char* name : {"started", "ran"}) {
        CAPTURE(name);
        REQUIRE(eventually([&] { return farm.text(name).find("SEMA_TASK=") != std::string::npos; }));
        CHECK(farm.text(name).find(farm.semactl.pool().str()) == std::string::npos);
    }
}

TEST_CASE("an id may be any text") {
    const Farm farm(2);
    farm.write(farm.head() + farm.starting() + farm.running("[\"false\", \"{id}\"]"));
    farm.script("poll", "cat \"${1:-queue}.next\" 2> /dev/null; rm -f \"${1:-queue}.next\"");
    std::ofstream(farm.folder() / "queue.next") << "-rf\n";
    std::ofstream(farm.folder() / "jobs.next") << " \"{call}\" \n";
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.has_logged("start -rf"));
    REQUIRE(farm.has_logged("error \"{call}\" run"));
    REQUIRE(farm.has_logged("stop \"{call}\""));
    REQUIRE(eventually(
        [&] { return farm.tasks() == 1 && farm.status().at("tasks").at(0).at("state") == "running"; }));
    CHECK(farm.semactl({"dispatch", "keepalive", "--", "-rf", farm.file().string()}, farm.environment())
              .status == 0);
    CHECK(farm.semactl({"dispatch", "stop", "--", "-rf", farm.file().string()}, farm.environment()).status ==
          0);
    CHECK(farm.has_logged("stop -rf"));
}

TEST_CASE(
    "a backend whose commands all fail at once neither keeps others from their turn nor a TERM from its "
    "effect") {
    const Farm farm(1);
    const std::string broken = GENERATE("run = [\"./missing\"]", "start = [\"false\"]");
    CAPTURE(broken);
    farm.script("next", "n=$(cat number 2>/dev/null || echo 0); echo $((n + 1)) > number; echo broken-$n");
    farm.write(farm.head() + "[[backend]]\nname = \"broken\"\npoll = [\"./next\"]\n" + broken + "\n" +
               farm.starting());
    farm.give("good");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.has_logged("start good"));
    CHECK(farm.call({"stop", "good"}).status == 0);
    dispatcher->signal(SIGHUP);
    CHECK(dispatcher->warns("again"));
    dispatcher->signal(SIGTERM);
    CHECK(dispatcher->wait() == 0);
}

TEST_CASE("messages name a task whose id looks like a secret, and no secret") {
    const std::string id =
        GENERATE("0b0d3bd2-1f8b-4f4e-9d5a-0a5c7f6e2d11", "1acf7ee09b4c1d8e6f5a3b2c1d0e9f8a7b6c5d4e",
                 "d41d8cd98f00b204e9800998ecf8427e");
    CAPTURE(id);
    const Farm farm(1);
    farm.script("fail", "rm -f queue/\"$1\"; exit 3");
    farm.write(farm.head() +
               "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"./fail\", \"{id}\"]\n");
    farm.give(id);
    const auto dispatcher = farm.dispatch();
    CHECK(dispatcher->warns("start of " + id + " failed"));
    const Finished unknown = farm.call({"stop", id});
    CHECK(unknown.status == 67);
    CHECK(unknown.err.find("there is no task " + id) != std::string::npos);
    const std::string pool = farm.semactl.pool().str();
    const Finished mistaken = farm.call({"stop", pool});
    CHECK(mistaken.status == 67);
    CHECK(mistaken.err.find(pool) == std::string::npos);
}

TEST_CASE("no message shows the lease of a task that runs") {
    const Farm farm(1);
    farm.script("take", "rm -f queue/\"$1\"; echo \"$SEMA_LEASE\" > lease; echo \"start $1\" >> log");
    farm.write(farm.head() + farm.starting());
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.has_logged("start 1"));
    std::string lease = farm.text("lease");
    lease.pop_back();
    const Finished mistaken = farm.call({"stop", lease});
    CHECK(mistaken.status == 67);
    CHECK(mistaken.err.find("there is no task <UUID>") != std::string::npos);
}

TEST_CASE("a timeout of any length is one") {
    const Farm farm(1);
    farm.write(farm.head("timeout = \"20000d\"") + farm.starting());
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.has_logged("start 1"));
    REQUIRE(eventually(
        [&] { return farm.tasks() == 1 && farm.status().at("tasks").at(0).at("state") == "running"; }));
    CHECK(farm.call({"stop", "1"}).status == 0);
    CHECK(farm.has_logged("stop 1"));
}

TEST_CASE("a command that is the task ends it, and its failure is told") {
    const Farm farm(1);
    farm.script("work", "rm -f jobs/\"$1\"; echo \"run $1\" >> log; [ \"$1\" = good ]");
    farm.give("bad", "jobs");
    farm.give("good", "jobs");
    farm.write(farm.head() + farm.running("[\"./work\", \"{id}\"]"));
    const auto dispatcher = farm.dispatch();
    CHECK(farm.logs("run bad\nerror bad run\nstop bad\nrun good\nstop good\n"));
    CHECK(eventually([&] { return farm.semactl.in_use() == 0; }));
}

TEST_CASE("a start needs no program from the PATH but its own") {
    const Farm farm(1);
    farm.script("start", "/bin/rm -f queue/\"$1\"; /bin/sleep 1.5; echo \"start $1\" >> log");
    farm.script("poll", "/bin/ls queue");
    farm.write(farm.head("limit = \"5s\"") +
               "[[backend]]\nname = \"b\"\npoll = [\"./poll\"]\nstart = [\"./start\", \"{id}\"]\n");
    farm.give("1");
    std::filesystem::create_directory(farm.folder() / "bin");
    std::filesystem::create_symlink("/bin/sh", farm.folder() / "bin/sh");
    ProgramOptions options = farm.environment();
    options.environment["PATH"] = (farm.folder() / "bin").string();
    Program dispatcher(Semactl::command({"dispatch", farm.file().string()}), options);
    CHECK(farm.logs("start 1\n"));
    CHECK(eventually(
        [&] { return farm.tasks() == 1 && farm.status().at("tasks").at(0).at("state") == "running"; }));
    CHECK(end(dispatcher) == 0);
}

TEST_CASE("all free slots are filled, also where a command takes its task out of the source by itself") {
    const Farm farm(3);
    // They wait for one another.
    farm.script("work",
                "rm -f jobs/\"$1\"; echo \"run $1\" >> log\n"
                "for i in $(seq 300); do [ $(grep -c run log) -ge 3 ] && exit; sleep 0.1; done; exit 1");
    for (const char* id : {"1", "2", "3"})
        farm.give(id, "jobs");
    farm.write("pool = \"vsim\"\ninterval = \"1h\"\n" + farm.running("[\"./work\", \"{id}\"]"));
    const bool is_once = GENERATE(false, true);
    CAPTURE(is_once);
    const auto dispatcher =
        farm.dispatch(is_once ? std::vector<std::string>{"--once"} : std::vector<std::string>{});
    for (const char* id : {"1", "2", "3"})
        CHECK(farm.has_logged(std::string("stop ") + id));
    CHECK(farm.log().find("error") == std::string::npos);
    CHECK((is_once ? dispatcher->wait() : end(*dispatcher)) == 0);
}

TEST_CASE("a task takes its place behind somebody for whom a free slot is held back") {
    const Farm farm(2);
    farm.script("work", "rm -f jobs/\"$1\"; echo \"run $1\" >> log");
    farm.give("1", "jobs");
    farm.write(farm.head() + farm.running("[\"./work\", \"{id}\"]"));
    REQUIRE(farm.semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0);
    Program both(Semactl::command({"run", "vsim", "--slots", "2", "--holder", "both", "--", "true"}),
                 farm.environment());
    REQUIRE(eventually([&] { return queue(farm) == std::vector<std::string>{"both"}; }));
    const auto dispatcher = farm.dispatch();
    CHECK(eventually([&] { return queue(farm) == std::vector<std::string>{"both", "jobs: 1"}; }));
    CHECK(farm.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(both.wait() == 0);
    CHECK(farm.has_logged("run 1"));
}

TEST_CASE("a task that its source takes back while the pool is full is not started") {
    const Farm farm(1);
    farm.script("work", "rm -f jobs/\"$1\"; echo \"run $1\" >> log");
    farm.script("poll", "ls jobs | grep . || echo nothing >> polled");
    farm.give("1", "jobs");
    farm.write(farm.head() + farm.running("[\"./work\", \"{id}\"]"));
    REQUIRE(farm.semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0);
    Program other(Semactl::command({"run", "vsim", "--holder", "other", "--", "true"}), farm.environment());
    REQUIRE(eventually([&] { return queue(farm) == std::vector<std::string>{"other"}; }));
    const auto dispatcher = farm.dispatch();
    REQUIRE(eventually([&] { return queue(farm).size() == 2; }));
    std::filesystem::remove(farm.folder() / "jobs/1");
    // The first of these answers has come when the next one is asked for.
    CHECK(eventually([&] { return farm.text("polled").find('\n') + 1 < farm.text("polled").size(); }));
    farm.give("2", "jobs");
    CHECK(farm.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(other.wait() == 0);
    CHECK(farm.logs("run 2\nstop 2\n"));
}

TEST_CASE("a task whose source is slow to answer again takes the slot that comes meanwhile") {
    const Farm farm(1);
    farm.script("poll", "if [ -e named ]; then touch asked; " + wait_for_go +
                            "; fi\ntouch named; ls queue | head -n 1");
    farm.write(farm.head("limit = \"1h\"") + farm.starting());
    farm.give("1");
    REQUIRE(farm.semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0);
    Program other(Semactl::command({"run", "vsim", "--holder", "other", "--", "true"}), farm.environment());
    REQUIRE(eventually([&] { return queue(farm) == std::vector<std::string>{"other"}; }));
    const auto dispatcher = farm.dispatch();
    REQUIRE(eventually([&] { return std::filesystem::exists(farm.folder() / "asked"); }));
    CHECK(farm.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(other.wait() == 0);
    CHECK(farm.logs("start 1\n"));
    std::ofstream(farm.folder() / "go") << "";
    CHECK(end(*dispatcher) == 0);
    CHECK(farm.log() == "start 1\n");
}

TEST_CASE("a dispatcher that has ended while its task waited keeps no slot idle") {
    const std::string what = GENERATE("stopped", "killed", "killed, and followed");
    CAPTURE(what);
    // No place ends by itself.
    const Farm farm(1, {"--rejoin", "1h"});
    farm.write(farm.head() + farm.starting());
    farm.give("1");
    REQUIRE(farm.semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0);
    Program other(Semactl::command({"run", "vsim", "--holder", "other", "--", "true"}), farm.environment());
    REQUIRE(eventually([&] { return queue(farm) == std::vector<std::string>{"other"}; }));
    const auto first = farm.dispatch();
    REQUIRE(eventually([&] { return queue(farm).size() == 2; }));
    first->signal(what == "stopped" ? SIGTERM : SIGKILL);
    first->wait();
    CHECK(queue(farm).size() == (what == "stopped" ? 1U : 2U));

    ProgramOptions options = farm.environment();
    if (what != "killed, and followed")
        options.environment["XDG_STATE_HOME"] = (farm.folder() / "elsewhere").string();
    Program next(Semactl::command({"dispatch", farm.file().string()}), options);
    CHECK(farm.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(other.wait() == 0);
    CHECK(farm.has_logged("start 1"));
}

TEST_CASE("a command that cannot be run frees the slot") {
    const Farm farm(1);
    farm.give("1", "jobs");
    farm.write("pool = \"vsim\"\ninterval = \"1h\"\n" + farm.running("[\"./no-such-command\", \"{id}\"]"));
    const auto dispatcher = farm.dispatch();
    CHECK(farm.logs("error 1 run\n"));
    CHECK(eventually([&] { return farm.semactl.in_use() == 0; }));
    CHECK(dispatcher->warns("no-such-command"));
}

TEST_CASE("a task that times out is told so, then stopped, and then the slot goes to the next one") {
    const Farm farm(1);
    farm.write(farm.head("timeout = \"1s\"") + farm.starting());
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.has_logged("start 1"));
    farm.give("2");
    REQUIRE(farm.has_logged("start 2"));
    CHECK(farm.log().rfind("start 1\ntimeout 1\nstop 1\nstart 2\n", 0) == 0);
}

TEST_CASE("a keepalive from anywhere moves the timeout") {
    const Farm farm(1);
    farm.write(farm.head("timeout = \"1h\"") + farm.starting());
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    REQUIRE(eventually(
        [&] { return farm.tasks() == 1 && farm.status().at("tasks").at(0).at("state") == "running"; }));
    const auto before = farm.status().at("tasks").at(0).at("last_keepalive_unix").get<std::int64_t>();
    // The lease tells of time in whole seconds.
    REQUIRE(eventually([&] { return std::time(nullptr) > before + 1; }));
    CHECK(farm.call({"keepalive", "1"}).status == 0);
    CHECK(farm.logs("start 1\nkeepalive 1\n"));
    CHECK(farm.status().at("tasks").at(0).at("last_keepalive_unix").get<std::int64_t>() > before);
}

TEST_CASE("a command that is the task is kept alive and stopped from anywhere too") {
    const bool has_all_slots = GENERATE(false, true);
    CAPTURE(has_all_slots);
    const Farm farm(
        1, has_all_slots ? std::vector<std::string>{"--max-count", "1"} : std::vector<std::string>{});
    farm.script("work", "rm -f jobs/\"$1\"; echo \"run $1\" >> log; exec sleep 1000");
    farm.give("1", "jobs");
    farm.write(farm.head() +
               farm.running("[\"./work\", \"{id}\"]", "keepalive = [\"./say\", \"keepalive\", \"{id}\"]"));
    const auto dispatcher = farm.dispatch();
    REQUIRE(farm.logs("run 1\n"));
    CHECK(farm.call({"keepalive", "1"}).status == 0);
    CHECK(farm.logs("run 1\nkeepalive 1\n"));
    CHECK(farm.call({"stop", "1"}).status == 0);
    // Asked to end, it has not failed.
    CHECK(farm.logs("run 1\nkeepalive 1\nstop 1\n"));
    CHECK(farm.semactl.in_use() == 0);
}

TEST_CASE("a command that is the task times out with all its processes") {
    const Farm farm(1);
    farm.script("work", "rm -f jobs/\"$1\"; sleep 1000 & echo $! > sleeper; echo \"run $1\" >> log; wait");
    farm.give("1", "jobs");
    farm.write(
        farm.head("timeout = \"5s\"") +
        farm.running("[\"./work\", \"{id}\"]", "timeout_command = [\"./say\", \"timeout\", \"{id}\"]"));
    const auto dispatcher = farm.dispatch();
    CHECK(farm.logs("run 1\ntimeout 1\nstop 1\n"));
    CHECK(eventually([&] { return farm.semactl.in_use() == 0; }));
    CHECK(is_over(std::stoi(farm.text("sleeper"))));
}

TEST_CASE("what the error command says of a failure counts") {
    const Farm farm(1);
    farm.give("1");
    farm.script("keep", "echo \"error $*\" >> log; exit 1");
    farm.script("fail", "echo \"keepalive $1\" >> log; exit 3");
    const std::string begin = farm.head() +
                              "[[backend]]\nname = \"nightly\"\npoll = [\"./poll\"]\n"
                              "start = [\"./take\", \"{id}\"]\nkeepalive = [\"./fail\", \"{id}\"]\n";
    SECTION("another status than 0 keeps the slot") {
        farm.write(begin + "error = [\"./keep\", \"{id}\", \"{call}\"]\n");
    }
    SECTION("0 frees it") {
        farm.write(begin + "error = [\"./say\", \"error\", \"{id}\", \"{call}\"]\n");
    }
    const auto dispatcher = farm.dispatch();
    REQUIRE(eventually(
        [&] { return farm.tasks() == 1 && farm.status().at("tasks").at(0).at("state") == "running"; }));
    const auto began = farm.status().at("tasks").at(0).at("last_keepalive_unix").get<std::int64_t>();
    REQUIRE(eventually([&] { return std::time(nullptr) > began + 1; }));
    CHECK(farm.call({"keepalive", "1"}).status == 0);
    CHECK(farm.logs("start 1\nkeepalive 1\nerror 1 keepalive\n"));
    const int left = farm.text("farm.toml").find("./keep\"") == std::string::npos ? 0 : 1;
    CHECK(eventually([&] { return farm.semactl.in_use() == left; }));
}

TEST_CASE("a task that failed is stopped also where nothing can be made of that") {
    const Farm farm(1);
    farm.give("1");
    farm.script("work", "./take $1; exit 3");
    farm.write(farm.head() +
               "[[backend]]\nname = \"nightly\"\npoll = [\"./poll\"]\n"
               "run = [\"./work\", \"{id}\"]\nstop = [\"./say\", \"stop\", \"{id}\"]\n"
               "error = [\"./none\"]\n");
    const auto dispatcher = farm.dispatch();
    CHECK(farm.has_logged("stop 1"));
    CHECK(dispatcher->warns("nightly: error of 1 failed: "));
}

TEST_CASE("commands that hang or fail hold up nobody else") {
    const Farm farm(3);
    farm.script("hang", "echo \"hang $1\" >> log; exec sleep 1000");
    farm.give("1");
    farm.give("2");
    farm.write(
        farm.head("limit = \"5s\"") +
        "[[backend]]\nname = \"hangs\"\npoll = [\"./hang\", \"poll\"]\nrun = [\"true\"]\n"
        "[[backend]]\nname = \"fails\"\npoll = [\"false\"]\nrun = [\"true\"]\n"
        "[[backend]]\nname = \"slow\"\npoll = [\"echo\", \"slow\"]\nstart = [\"./hang\", \"start\"]\n" +
        farm.starting());
    const auto dispatcher = farm.dispatch();
    CHECK(farm.has_logged("start 1"));
    CHECK(farm.has_logged("start 2"));
    CHECK(dispatcher->warns("hangs: poll failed: ./hang: it took too long"));
    CHECK(dispatcher->warns("fails: poll failed: false: it exited with status 1"));
    CHECK(dispatcher->warns("slow: start of slow failed: ./hang: it took too long"));
}

TEST_CASE("one id never has two slots, over two dispatchers") {
    const Farm farm(4);
    // A source that goes on naming what it named.
    farm.script("start", "echo \"start $1\" >> log");
    farm.write(
        "pool = \"vsim\"\ninterval = \"100ms\"\n[[backend]]\nname = \"b\"\npoll = [\"echo\", \"1\"]\n"
        "start = [\"./start\", \"{id}\"]\n[[backend]]\nname = \"c\"\npoll = [\"echo\", \"1\"]\n"
        "start = [\"./start\", \"{id}\"]\n[[backend]]\nname = \"d\"\npoll = [\"./poll\"]\n"
        "start = [\"./take\", \"{id}\"]\n");
    const auto one = farm.dispatch();
    const auto other = farm.dispatch();
    REQUIRE(farm.has_logged("start 1"));
    // They have looked at all of it again by the time that they have found this.
    for (const char* id : {"2", "3"}) {
        farm.give(id);
        REQUIRE(farm.has_logged(std::string("start ") + id));
    }
    CHECK(farm.tasks() == 3);
    const std::string log = "\n" + farm.log();
    CHECK(log.find("\nstart 1\n") == log.rfind("\nstart 1\n"));
}

TEST_CASE("the example of the documents works as it stands") {
    const Farm farm(0);
    // Its code blocks, by the language that they are in.
    std::vector<std::string> scripts;
    std::string file;
    std::ifstream document(PROJECT_FOLDER "/docs/dispatch.md");
    std::string block;
    std::string language;
    for (std::string line; std::getline(document, line);) {
        if (line.rfind("```", 0) != 0) {
            block += line + "\n";
            continue;
        }
        if (language == "sh" && block.rfind("#!/bin/sh\n", 0) == 0) scripts.push_back(block);
        if (language == "toml" && file.empty()) file = block;
        language = line.substr(3);
        block.clear();
    }
    REQUIRE(scripts.size() == 6);
    for (const std::string& script : scripts) {
        const std::string name = script.substr(12, script.find('\n', 12) - 12);
        std::string lines = script.substr(10);
        // The task takes no time that somebody would look at.
        if (const auto at = lines.find("sleep 30"); at != std::string::npos) lines.replace(at, 8, "sleep 0");
        farm.script(name, lines);
    }
    for (const char* folder : {"tasks", "running", "pids", "done", "failed"})
        std::filesystem::create_directory(farm.folder() / folder);
    REQUIRE(file.find("pool = \"farm\"") == 0);
    // Two are started in one pass, and the third one once a slot is returned.
    const auto interval = file.find("interval = \"2s\"");
    REQUIRE(interval != std::string::npos);
    farm.write(file.replace(interval, 15, "interval = \"1h\""));
    REQUIRE(farm.semactl({"new", "--count", "2", "--save", "farm"}, farm.environment()).status == 0);
    for (const char* task : {"one", "two", "three"})
        farm.give(task, "tasks");
    // The commands find the semactl that is tested.
    ProgramOptions options = farm.environment();
    options.environment["PATH"] =
        std::filesystem::path(SEMACTL).parent_path().string() + ":" + std::getenv("PATH");
    Program dispatcher(Semactl::command({"dispatch", farm.file().string()}), options);
    CHECK(eventually([&] {
        return std::filesystem::exists(farm.folder() / "done/one") &&
               std::filesystem::exists(farm.folder() / "done/two") &&
               std::filesystem::exists(farm.folder() / "done/three");
    }));
    CHECK(std::filesystem::is_empty(farm.folder() / "failed"));
    CHECK(end(dispatcher) == 0);
    INFO(dispatcher.err());
    CHECK(dispatcher.err().find("failed") == std::string::npos);
}
