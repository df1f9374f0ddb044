#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/proxy.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
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

    // Those of the pools in the order in which they are borrowed.
    Words in_order(Words pools) const {
        std::map<std::string, std::string> by_id;
        for (const std::string& pool : pools)
            by_id[view(pool).at("id")] = pool;
        Words sorted;
        for (const auto& [id, pool] : by_id)
            sorted.push_back(pool);
        return sorted;
    }

    RunningServer server;
    Semactl semactl{server.url()};
    const std::string config = semactl.folder() / "pools.toml";
};

// A semactl with pools of which a scripted server knows what the script says.
struct Play {
    Play(int pools, std::vector<Scene> scenes) : server(std::move(scenes)) {
        std::ofstream file(semactl.folder() / "pools.toml");
        file << "[pools]\n";
        // In the order in which they are borrowed.
        std::set<std::string> ids;
        while (ids.size() < static_cast<std::size_t>(pools))
            ids.insert(sema::PoolId::random().str());
        for (const std::string& id : ids) {
            names.push_back("p" + std::to_string(names.size() + 1));
            file << names.back() << " = \"" << id << "\"\n";
        }
    }
    std::unique_ptr<Program> run(const Words& more) const {
        Words words = {"run"};
        words.insert(words.end(), names.begin(), names.end());
        words.insert(words.end(), more.begin(), more.end());
        ProgramOptions options;
        options.environment["SEMACTL_CONFIG"] = semactl.folder() / "pools.toml";
        return std::make_unique<Program>(Semactl::command(words), semactl.options(options));
    }
    // How many requests were made that have this in their first line.
    std::size_t count(const std::string& part) const {
        const auto requests = server.requests();
        return static_cast<std::size_t>(
            std::count_if(requests.begin(), requests.end(), [&](const std::string& request) {
                return request.substr(0, request.find("\r\n")).find(part) != std::string::npos;
            }));
    }

    ScriptedServer server;
    Semactl semactl{server.url()};
    Words names;
};

Scene pool_of(int count, std::chrono::milliseconds delay = 0ms) {
    const Json state{
        {"id", sema::PoolId::random().str()}, {"count", count}, {"in_use", 0}, {"available", count}};
    return {Scene::Wait::for_request, http("200 OK", state.dump()), delay};
}

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

TEST_CASE("who waits for slots of the pool that is borrowed first keeps its place until it has them") {
    const World world;
    const Words pools = world.in_order({"a", "b"});
    REQUIRE(world({"resize", pools[1], "+1"}).status == 0);
    const std::string lease = world.take(pools[0]);
    const std::string order = world.semactl.folder() / "order";
    const auto run = [&](Words words, const std::string& name) {
        const std::size_t before = world.queue(pools[0]);
        words.insert(words.end(), {"--wait", "60", "--", "sh", "-c", "echo " + name + " >> " + order});
        auto program = world.start(words);
        REQUIRE(eventually([&] { return world.queue(pools[0]) == before + 1; }));
        return program;
    };
    const auto wide = run({"run", "a", "b", "--slots", "2"}, "wide");
    REQUIRE(world({"resize", pools[0], "+1"}).status == 0);
    const auto later = run({"run", pools[0]}, "later");
    REQUIRE(world({"return", pools[0], lease}).status == 0);
    CHECK(wide->wait() == 0);
    CHECK(later->wait() == 0);
    std::ifstream file(order);
    std::string first;
    std::getline(file, first);
    CHECK(first == "wide");
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

TEST_CASE("a run that is to end while it gives slots back during its wait ends, and begins nothing anew") {
    const World world;
    REQUIRE(world({"new", "--count", "1", "--save", "c"}).status == 0);
    const Words order = world.in_order({"a", "b", "c"});
    std::string aliases = "[pools]\n";
    for (const std::string& pool : order)
        aliases += pool + " = {id = " + world.view(pool).at("id").dump() + ", ttl = \"" +
                   (pool == order[0] ? "4s" : "1m") + "\"}\n";
    std::ofstream(world.config) << aliases;
    world.take(order[2]);

    const bool by_parent = GENERATE(false, true);
    CAPTURE(by_parent);
    Words words =
        Semactl::command({"run", "a", "b", "c", "--die-with-parent", "--wait", "1h", "--", "echo", "served"});
    const Words shell = {"sh", "-c", "\"$@\"; echo shell goes on", "sh"};
    if (by_parent) words.insert(words.begin(), shell.begin(), shell.end());
    Program run(words, world.semactl.options(world.own_config()));
    REQUIRE(run.warns("waiting for " + order[2]));
    // The lease of the first is lost then, and the slot of the second one is returned.
    halt(world.server.pid());
    REQUIRE(run.warns(order[1] + ": cannot return the slot"));
    run.signal(by_parent ? SIGKILL : SIGTERM);
    CHECK(run.wait() == 128 + (by_parent ? SIGKILL : SIGTERM));
    if (by_parent) {
        const std::string words_of_it = "the process that started semactl is gone";
        CHECK(eventually([&] { return run.err().find(words_of_it) != std::string::npos; }));
    }
    kill(world.server.pid(), SIGCONT);
    CHECK(run.out().empty());
    CHECK(run.err().find("starting over") == std::string::npos);
}

TEST_CASE("with --fallback run no command is run after a TERM that came while slots were given back") {
    const World world;
    const Words order = world.in_order({"a", "b"});
    world.take(order[1]);
    const auto run =
        world.start({"run", "a", "b", "--wait", "10", "--fallback", "run", "--", "echo", "served"});
    REQUIRE(run->warns("waiting for " + order[1]));
    halt(world.server.pid());
    REQUIRE(run->warns(order[0] + ": cannot return the slot"));
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGTERM);
    kill(world.server.pid(), SIGCONT);
    CHECK(run->out().empty());
    CHECK(run->err().find("WITHOUT A SLOT") == std::string::npos);
}

TEST_CASE("a TERM while a later pool is waited for at a server that does not answer ends within 5 s") {
    const World world;
    const Words order = world.in_order({"a", "b"});
    world.take(order[1]);
    const auto run = world.start({"run", "a", "b", "--wait", "1h", "--", "true"});
    REQUIRE(run->warns("waiting for " + order[1]));
    halt(world.server.pid());
    const auto begin = std::chrono::steady_clock::now();
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGTERM);
    const auto taken = std::chrono::steady_clock::now() - begin;
    kill(world.server.pid(), SIGCONT);
    CHECK(taken < 6500ms);
}

TEST_CASE("a TERM while a slot that came too late is returned in vain ends a wait within 5 s", "[alone]") {
    const auto granted = [](int ttl, std::chrono::milliseconds delay) {
        const std::string grant = R"({"lease":")" + sema::LeaseId::random().str() +
                                  R"(","position":0,"expires_at_unix":2000000000,"expires_in":)" +
                                  std::to_string(ttl) +
                                  R"(,"positions":[0],"fence":1,"slots":[null],"granted_at_unix":1})";
        return Scene{Scene::Wait::for_request, http("200 OK", grant), delay};
    };
    const Scene no_slot{Scene::Wait::for_request,
                        http("409 Conflict", R"({"error":"no resource available"})")};
    const Scene not_renewed{Scene::Wait::for_request, http("502 Bad Gateway", "<html>")};
    const Scene unanswered{Scene::Wait::for_end_of_input, ""};
    std::vector<Scene> scenes = {pool_of(1), pool_of(1),         granted(300, 0ms),
                                 no_slot,    granted(5, 2600ms), not_renewed};
    scenes.resize(scenes.size() + 100, unanswered);
    Play play(0, std::move(scenes));
    // In the order in which they are borrowed.
    std::ofstream(play.semactl.folder() / "pools.toml")
        << "[pools]\n"
        << "held = {id = \"11111111-2222-4333-8444-555555555555\", ttl = \"5m\"}\n"
        << "late = {id = \"22222222-2222-4333-8444-555555555555\", ttl = \"5s\"}\n";
    play.names = {"held", "late"};
    const auto run = play.run({"--wait", "1h", "--", "true"});
    REQUIRE(eventually([&] { return play.count("/return") == 1; }));
    const auto begin = std::chrono::steady_clock::now();
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGTERM);
    CHECK(std::chrono::steady_clock::now() - begin < 6s);
    // There is no place in the queue any more that would have to be left.
    CHECK(play.count("/borrow") == 3);
    CHECK(play.count("DELETE ") == 0);
}

TEST_CASE("a TERM while several pools are looked at is heard before all of them were") {
    const Play play(5, std::vector<Scene>(5, pool_of(1, 700ms)));
    const auto run = play.run({"--wait", "1h", "--", "true"});
    REQUIRE(eventually([&] { return play.count("GET ") == 1; }));
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGTERM);
    CHECK(play.count("GET ") < 5);
    CHECK(play.count("/borrow") == 0);
}

TEST_CASE("the slot of a pool that was too small is returned though the server fails for seconds") {
    const std::string grant =
        R"({"lease":")" + sema::LeaseId::random().str() +
        R"(","position":0,"expires_at_unix":2000000000,"expires_in":60,"positions":[0,1],"fence":1,)"
        R"("slots":[null,null],"granted_at_unix":1})";
    const int failures = 12;
    std::vector<Scene> scenes = {pool_of(2), pool_of(1), {Scene::Wait::for_request, http("200 OK", grant)}};
    scenes.resize(
        scenes.size() + failures,
        {Scene::Wait::for_request, http("502 Bad Gateway", R"({"error":"database command failed"})")});
    scenes.push_back({Scene::Wait::for_request, http("200 OK", R"({"returned":true})")});
    const Play play(2, std::move(scenes));
    const auto run = play.run({"--slots", "2", "--wait", "1h", "--", "true"});
    CHECK(eventually([&] { return play.count("/return") == failures + 1; }));
    CHECK(run->warns("returned position 0"));
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGTERM);
    INFO(run->err());
    CHECK(run->err().find("cannot return the slot") < run->err().find("returned position 0"));
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
    REQUIRE(eventually([&] { return sema::find_process(run->pid(), sema::ProcFolder())->state == 'T'; }));
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
        const auto run = world.start({"run", "a", "b", "--ttl", "18", "--", "echo", "served"});
        REQUIRE(run->warns("waiting for " + taken));
        if (world.in_use(other) == 1) {
            ++held_first;
            const auto first = [&] { return world.view(other).at("holders").at(0); };
            const Json before = first();
            // A command would have been asked to end by then, and not been killed yet.
            halt(world.server.pid());
            std::this_thread::sleep_for(11s);
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
    halt(world.server.pid());
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

TEST_CASE(
    "runs inside one another that are asked to stop return their slots to a server that is away for 2 s") {
    const World world;
    REQUIRE(world({"new", "--count", "1", "--save", "c"}).status == 0);
    Words words;
    for (const char* pool : {"a", "b", "c"})
        words.insert(words.end(), {SEMACTL, "run", pool, "--ttl", "5m", "--kill-after", "0.5", "--"});
    words.insert(words.end(), {"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"});
    const auto run = world.start(Words(words.begin() + 1, words.end()));
    REQUIRE(run->prints("ready"));
    halt(world.server.pid());
    run->signal(SIGTERM);
    const auto begin = std::chrono::steady_clock::now();
    // All is said and done in 5 s.
    std::this_thread::sleep_until(begin + 2s);
    kill(world.server.pid(), SIGCONT);
    run->wait();
    CAPTURE(run->err());
    CHECK(world.in_use("a") == 0);
    CHECK(world.in_use("b") == 0);
    CHECK(world.in_use("c") == 0);
}

TEST_CASE("a run that the run around it kills begins no teardown, one that stops in time does") {
    const World world;
    const std::string stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    const std::string torn = world.semactl.folder() / "torn";
    const bool in_time = GENERATE(false, true);
    CAPTURE(in_time);
    const auto run = world.start({"run", "a", "--kill-after", in_time ? "1m" : "0.5", "--",  //
                                  SEMACTL, "run", "b", "--kill-after", in_time ? "0.5" : "1m", "--teardown",
                                  "echo > " + torn, "--", "sh", "-c", stubborn});
    REQUIRE(run->prints("ready"));
    run->signal(SIGTERM);
    run->wait();
    CAPTURE(run->err());
    CHECK(std::filesystem::exists(torn) == in_time);
    // The run around it may kill what writes that, too.
    if (in_time) CHECK_THAT(run->err(), !has_text("the teardown is left out"));
    CHECK(world.in_use("a") == 0);
    CHECK(world.in_use("b") == 0);
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
    REQUIRE(world({"register", "a", "--count", "3", "--slot", "x", "--slot", "y", "--slot", "z"}).status ==
            0);
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
