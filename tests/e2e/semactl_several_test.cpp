#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/proxy.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <thread>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;
using Json = nlohmann::json;

// A server with the pools `a` and `b` of one slot each, and semactl to use them.
struct World {
    World() {
        for (const std::string name : {"a", "b"}) {
            const Finished made = semactl({"new", "--count", "1", "--save", name}, own_config());
            REQUIRE(made.status == 0);
        }
    }
    ProgramOptions own_config(ProgramOptions more = {}) const {
        more.environment["SEMACTL_CONFIG"] = config;
        return more;
    }
    Finished operator()(Words words, ProgramOptions more = {}) const {
        return semactl(std::move(words), own_config(std::move(more)));
    }
    std::unique_ptr<Program> start(Words words, ProgramOptions more = {}) const {
        return std::make_unique<Program>(Semactl::command(std::move(words)),
                                         semactl.options(own_config(std::move(more))));
    }
    int in_use(const std::string& pool) const {
        return Json::parse((*this)({"inspect", pool, "--output", "json"}).out).at("in_use");
    }
    std::size_t queue(const std::string& pool) const { return view(pool).at("queue").size(); }
    Json view(const std::string& pool) const {
        return Json::parse((*this)({"holders", pool, "--output", "json"}).out);
    }
    // Takes the pool's slot for long.
    std::string take(const std::string& pool) const {
        return Json::parse((*this)({"borrow", pool, "--ttl", "1h", "--output", "json"}).out).at("lease");
    }

    RunningServer server;
    Semactl semactl{server.url()};
    const std::string config = semactl.folder() / "pools.toml";
};

}  // namespace

TEST_CASE("a command can hold slots of several pools, and tells them apart") {
    const World world;
    REQUIRE(world({"register", "b", "--slot", "/dev/ttyUSB0"}).status == 0);
    const Finished run = world({"run", "a", "b", "--", "sh", "-c",
                                "echo $SEMA_POSITION $SEMA_A_POSITION $SEMA_B_POSITION $SEMA_B_SLOT; "
                                "test $SEMA_LEASE = $SEMA_A_LEASE && test $SEMA_LEASE != $SEMA_B_LEASE"});
    CHECK(run.status == 0);
    CHECK(run.out == "0 0 0 /dev/ttyUSB0\n");
    CHECK(world.in_use("a") == 0);
    CHECK(world.in_use("b") == 0);
}

TEST_CASE("a run inside a run leaves it the variables of the pools that it holds") {
    const World world;
    REQUIRE(world({"new", "--count", "2", "--save", "c"}).status == 0);
    const Finished run =
        world({"run", "a", "c", "--", SEMACTL, "run", "c", "--", "sh", "-c",
               "echo $SEMA_POSITION $SEMA_A_POSITION ${SEMA_C_POSITION-none}; echo $SEMA_HELD | wc -w"});
    CHECK(run.status == 0);
    CHECK(run.out == "1 0 none\n2\n");
}

TEST_CASE("jobs that name the same pools in different orders never wait for each other in a circle") {
    const World world;
    std::vector<std::unique_ptr<Program>> jobs;
    for (int i = 0; i < 6; ++i) {
        const bool forwards = i % 2 == 0;
        jobs.push_back(
            world.start({"run", forwards ? "a" : "b", forwards ? "b" : "a", "--", "sleep", "0.05"}));
    }
    for (const auto& job : jobs)
        CHECK(job->wait() == 0);
}

TEST_CASE("several pools are all had or none, and the first is kept while the next is waited for") {
    const World world;
    // Whichever of the two is borrowed first: it is lent for longer than its ttl while the other is waited
    // for.
    const std::string taken = GENERATE(as<std::string>{}, "a", "b");
    const std::string other = taken == "a" ? "b" : "a";
    const std::string lease = world.take(taken);
    const Finished refused = world({"run", "a", "b", "--ttl", "2", "--wait", "3", "--", "echo", "never"});
    CHECK(refused.status == 75);
    CHECK(refused.out.empty());
    CHECK_THAT(refused.err, has_text(taken + ": no slot became free within the wait"));
    CHECK(world.in_use(other) == 0);

    const auto patient = world.start({"run", "a", "b", "--ttl", "5", "--wait", "60", "--", "echo", "served"});
    REQUIRE(patient->warns("waiting for " + taken));
    // The one with the lesser UUID is borrowed first, and renewed beyond its ttl: one and the same lease.
    const Json view = world.view(other);
    if (view.at("id") < world.view(taken).at("id")) {
        const Json before = view.at("holders").at(0);
        REQUIRE(eventually([&] {
            const Json now = world.view(other).at("holders").at(0);
            REQUIRE(now.at("fence") == before.at("fence"));
            return now.at("expires_at_unix") >= before.at("expires_at_unix").get<int>() + 5;
        }));
    } else {
        CHECK(view.at("in_use") == 0);
    }
    REQUIRE(world({"return", taken, lease}).status == 0);
    CHECK(patient->wait() == 0);
    CHECK(patient->out() == "served\n");
    CHECK(world.in_use(other) == 0);
}

TEST_CASE(
    "a pool that is not there, or too small, is found before a slot of another one is waited for or held") {
    const World world;
    const bool a_is_first = world.view("a").at("id") < world.view("b").at("id");
    const std::string first = a_is_first ? "a" : "b";
    const std::string second = a_is_first ? "b" : "a";
    REQUIRE(world({"resize", first, "+1"}).status == 0);
    const auto wide = world.start({"run", "a", "b", "--slots", "2", "--wait", "60", "--", "echo", "served"});
    REQUIRE(wide->warns(second + ": the pool has only 1 slot, and 2 are asked for"));
    CHECK(world.in_use(first) == 0);
    REQUIRE(world({"resize", second, "+1"}).status == 0);
    CHECK(wide->wait() == 0);
    CHECK(wide->out() == "served\n");
    CHECK(world({"run", "a", "b", "--slots", "3", "--wait", "0", "--", "true"}).status == 75);

    world.take(first);
    world.take(first);
    REQUIRE(world({"delete", second}).status == 0);
    const Finished absent = world({"run", "a", "b", "--wait", "1h", "--", "true"});
    CHECK(absent.status == 66);
    CHECK_THAT(absent.err, has_text(second + ": no such pool"));
}

TEST_CASE("an interrupt while a later pool is waited for returns the earlier ones") {
    const World world;
    const std::string taken = GENERATE(as<std::string>{}, "a", "b");
    world.take(taken);
    const auto run = world.start({"run", "a", "b", "--wait", "60", "--", "echo", "never"});
    REQUIRE(run->warns("waiting for " + taken));
    run->signal(SIGTERM);
    CHECK(run->wait(5s) == 128 + SIGTERM);
    CHECK(world.in_use(taken == "a" ? "b" : "a") == 0);
    CHECK(world.queue(taken) == 0);
}

TEST_CASE("a job that is stopped while it waits for a later pool holds no slot meanwhile") {
    const World world;
    const bool a_is_first = world.view("a").at("id") < world.view("b").at("id");
    const std::string first = a_is_first ? "a" : "b";
    const std::string second = a_is_first ? "b" : "a";
    const std::string lease = world.take(second);
    const auto run = world.start({"run", "a", "b", "--wait", "60", "--", "echo", "served"});
    REQUIRE(run->warns("waiting for " + second));
    CHECK(world.in_use(first) == 1);
    run->signal(SIGTSTP);
    REQUIRE(eventually([&] { return sema::find_process(run->pid())->state == 'T'; }));
    CHECK(world.in_use(first) == 0);
    CHECK(world.queue(second) == 0);

    REQUIRE(world({"return", second, lease}).status == 0);
    run->signal(SIGCONT);
    CHECK(run->wait() == 0);
    CHECK(run->out() == "served\n");
}

TEST_CASE("a lease that is lost while another is waited for is borrowed again") {
    const World world;
    const std::string taken = GENERATE(as<std::string>{}, "a", "b");
    const std::string other = taken == "a" ? "b" : "a";
    const std::string lease = world.take(taken);
    const auto run = world.start({"run", "a", "b", "--ttl", "3", "--wait", "60", "--", "echo", "served"});
    REQUIRE(run->warns("waiting for " + taken));
    // Where the taken one comes first, the other is not held yet.
    if (world.in_use(other) == 1) {
        REQUIRE(world({"revoke", other, "0"}).status == 0);
        REQUIRE(run->warns("a slot was lost while another was waited for, starting over"));
    }
    REQUIRE(world({"return", taken, lease}).status == 0);
    CHECK(run->wait() == 0);
    CHECK(run->out() == "served\n");
}

TEST_CASE("a slot is kept for as long as it could be renewed while another is waited for") {
    const World world;
    int held_first = 0;
    for (const std::string taken : {"a", "b"}) {
        const std::string other = taken == "a" ? "b" : "a";
        const std::string lease = world.take(taken);
        const auto run = world.start({"run", "a", "b", "--ttl", "9", "--", "echo", "served"});
        REQUIRE(run->warns("waiting for " + taken));
        if (world.in_use(other) == 1) {
            ++held_first;
            const auto first = [&] { return world.view(other).at("holders").at(0); };
            const Json before = first();
            // A command would have been asked to end by then, and not been killed yet.
            kill(world.server.pid(), SIGSTOP);
            std::this_thread::sleep_for(5500ms);
            kill(world.server.pid(), SIGCONT);
            // It may have renewed by an answer that came too late for semactl, which then asks once more.
            std::this_thread::sleep_for(2500ms);
            CHECK(first().at("expires_at_unix") > before.at("expires_at_unix"));
            CHECK(first().at("fence") == before.at("fence"));
        }
        REQUIRE(world({"return", taken, lease}).status == 0);
        CHECK(run->wait() == 0);
        CHECK(run->out() == "served\n");
        CHECK(run->err().find("starting over") == std::string::npos);
    }
    CHECK(held_first == 1);
}

TEST_CASE("a lease of a short ttl is not kept waiting for the renewal of one with a long ttl") {
    const World world;
    Proxy proxy(world.server.port());
    const Json a = world.view("a").at("id");
    const Json b = world.view("b").at("id");
    std::ofstream(world.config) << "[pools]\na = {id = " << a << ", ttl = \"24s\"}\nb = {id = " << b
                                << ", ttl = \"6s\"}\n";
    ProgramOptions through_proxy;
    through_proxy.environment["SEMACTL_SERVER"] = proxy.url();
    const auto run =
        world.start({"run", "a", "b", "--", "sh", "-c", "echo ready; exec sleep 60"}, through_proxy);
    REQUIRE(run->prints("ready"));
    // The renewal of `a` goes out between 4 s and 4.8 s after its grant, and its answer is lost.
    std::this_thread::sleep_for(3700ms);
    proxy.become(Proxy::State::mute);
    std::this_thread::sleep_for(1500ms);
    proxy.become(Proxy::State::open);
    const auto end = [&] { return world.view("b").at("holders").at(0).at("expires_at_unix").get<int>(); };
    const int before = end();
    CHECK(eventually([&] { return run->ended() || end() > before; }));
    CHECK_FALSE(run->ended());
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGTERM);
}

TEST_CASE("a TERM with several slots and a server that does not answer ends within 7 s") {
    const World world;
    const auto run = world.start(
        {"run", "a", "b", "--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"});
    REQUIRE(run->prints("ready"));
    kill(world.server.pid(), SIGSTOP);
    const auto begin = std::chrono::steady_clock::now();
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGKILL);
    const auto taken = std::chrono::steady_clock::now() - begin;
    kill(world.server.pid(), SIGCONT);
    CHECK(taken < 7500ms);
}

TEST_CASE("a stubborn command in a run inside a run is killed, and both slots are returned") {
    const World world;
    const std::string stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    const Words inner = {SEMACTL, "run", "b", "--kill-after", "0.5", "--", "sh", "-c", stubborn};
    const Words shell = {"sh", "-c", "\"$@\"; exit 3", "sh"};
    for (const bool in_shell : {false, true}) {
        for (const bool to_group : {false, true}) {
            CAPTURE(in_shell, to_group);
            Words words = {"run", "a", "--kill-after", "0.5", "--"};
            if (in_shell) words.insert(words.end(), shell.begin(), shell.end());
            words.insert(words.end(), inner.begin(), inner.end());
            const auto run = world.start(words);
            REQUIRE(run->prints("ready"));
            to_group ? run->signal_group(SIGTERM) : run->signal(SIGTERM);
            run->wait();
            CHECK(world.in_use("a") == 0);
            CHECK(world.in_use("b") == 0);
        }
    }
}

TEST_CASE("pools whose variables would have the same names are refused before anything is borrowed") {
    const World world;
    REQUIRE(world({"new", "--save", "x-y"}).status == 0);
    REQUIRE(world({"new", "--save", "x_y"}).status == 0);
    const Finished refused = world({"run", "x-y", "x_y", "--", "true"});
    CHECK(refused.status == 125);
    CHECK_THAT(refused.err, has_text("x_y: another pool has the variables SEMA_X_Y_... already"));
}

TEST_CASE("a pool that is named twice, or is not one, is refused before anything is borrowed") {
    const World world;
    CHECK_THAT(world({"run", "a", "a", "--", "true"}).err, has_text("the pool is named twice"));
    CHECK(world({"run", "a", "a", "--", "true"}).status == 125);
    CHECK(world({"run", "a", "c", "--", "true"}).status == 125);
    CHECK(world({"run", "a", "env:NONE", "--", "true"}).status == 125);
    CHECK(world({"run", "a", "b", "--no-keepalive", "--", "true"}).status == 125);
    const Finished absent = world({"delete", "b"});
    REQUIRE(absent.status == 0);
    CHECK(world({"run", "a", "b", "--", "true"}).status == 66);
    CHECK(world.in_use("a") == 0);
}

TEST_CASE("a command can hold several slots of a pool") {
    const World world;
    REQUIRE(world({"register", "a", "--slot", "x", "--slot", "y", "--slot", "z"}).status == 0);
    CHECK(world({"run", "a", "--slots", "2", "-I", "{}", "--", "sh", "-c",
                 "echo {} $SEMA_POSITIONS $SEMA_SLOT"})
              .out == "0 0 1 x\n");
    CHECK(world({"run", "a", "--slots", "4", "--wait", "0.2", "--", "true"}).status == 75);
    CHECK(world({"run", "a", "--slots", "0", "--", "true"}).status == 125);
    CHECK(world.in_use("a") == 0);
}

TEST_CASE("a command with a higher priority gets the next slot") {
    const World world;
    const std::string lease = world.take("a");
    const auto low = world.start({"run", "a", "--", "sh", "-c", "echo $SEMA_FENCE"});
    REQUIRE(low->warns("waiting for a"));
    const auto high = world.start({"run", "a", "--priority", "5", "--", "sh", "-c", "echo $SEMA_FENCE"});
    REQUIRE(high->warns("waiting for a"));
    REQUIRE(world({"return", "a", lease}).status == 0);
    CHECK(low->wait() == 0);
    CHECK(high->wait() == 0);
    CHECK(std::stoi(high->out()) < std::stoi(low->out()));
}

TEST_CASE("a holder is called by who it is, and by its CI job") {
    const World world;
    const auto holder = [&](std::map<std::string, std::string> environment, Words more = {}) {
        ProgramOptions options;
        options.environment = std::move(environment);
        for (const char* name : {"GITHUB_RUN_ID", "CI_JOB_URL", "BUILDKITE_BUILD_URL", "BUILD_URL"})
            options.environment.emplace(name, "");
        Words words = {"run", "a"};
        words.insert(words.end(), more.begin(), more.end());
        words.insert(words.end(), {"--", SIGNAL_COUNTER});
        const auto run = world.start(words, options);
        REQUIRE(run->prints("ready"));
        const Json seen = world.view("a").at("holders").at(0).at("holder");
        run->signal(SIGUSR2);
        REQUIRE(run->wait() == 0);
        return std::pair(seen.at("name").get<std::string>(), seen.value("url", ""));
    };
    const auto [plain, no_url] = holder({});
    CHECK_THAT(plain, has_text("@") && Catch::Matchers::EndsWith(" signal_counter"));
    CHECK(no_url.empty());

    const auto [github, github_url] = holder({{"GITHUB_RUN_ID", "812"},
                                              {"GITHUB_JOB", "nightly"},
                                              {"GITHUB_SERVER_URL", "https://github.com"},
                                              {"GITHUB_REPOSITORY", "acme/chip"}});
    CHECK_THAT(github, Catch::Matchers::StartsWith("nightly 812 ("));
    CHECK(github_url == "https://github.com/acme/chip/actions/runs/812");

    const auto [jenkins, jenkins_url] =
        holder({{"BUILD_URL", "http://ci/job/7/"}, {"JOB_NAME", "regress"}, {"BUILD_NUMBER", "7"}});
    CHECK_THAT(jenkins, Catch::Matchers::StartsWith("regress 7 ("));
    CHECK(jenkins_url == "http://ci/job/7/");

    CHECK(holder({{"CI_JOB_URL", "https://gitlab/j/9"}}, {"--holder", "ann's desk"}).first == "ann's desk");
}

TEST_CASE("without a server a command is run without a slot only where that was asked for") {
    const Semactl semactl("http://127.0.0.1:9");
    const Finished failed =
        semactl({"run", "vsim", "--wait", "0.2", "--fallback", "fail", "--", "echo", "ran"});
    CHECK(failed.status == 69);
    CHECK(failed.out.empty());

    const Finished ran = semactl({"run", "vsim", "--wait", "0.2", "--fallback", "run", "-q", "--", "sh", "-c",
                                  "echo ran $SEMA_POSITION; exit 6"});
    CHECK(ran.status == 6);
    CHECK(ran.out == "ran\n");
    CHECK_THAT(ran.err, has_text("vsim: RUNNING THE COMMAND WITHOUT A SLOT (--fallback run)"));

    const World world;
    world.take("a");
    // Having no slot is not having no server.
    CHECK(world({"run", "a", "--wait", "0.2", "--fallback", "run", "--", "echo", "ran"}).status == 75);
    CHECK(world({"run", "a", "--fallback", "maybe", "--", "echo", "ran"}).status == 125);
}
