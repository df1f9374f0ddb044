#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/proxy.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <memory>
#include <optional>
#include <regex>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// A server with a pool of one slot, which is lent out, and semactl to use it.
struct World {
    explicit World(Words server_options = {}) : server(std::move(server_options)) {
        REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
        lend();
    }
    void lend() {
        const Finished borrowed =
            semactl({"borrow", "vsim", "--ttl", "1h", "--holder", "job 812", "--output", "json"});
        REQUIRE(borrowed.status == 0);
        lease = Json::parse(borrowed.out).at("lease");
    }
    void give_back() const { REQUIRE(semactl({"return", "vsim", lease}).status == 0); }

    Json queue() const {
        return Json::parse(semactl({"holders", "vsim", "--output", "json"}).out).at("queue");
    }
    // Starts a run that has to wait, and returns once it does. It prints its fence, which tells when it was
    // served.
    std::unique_ptr<Program> queue_up(ProgramOptions options = {}) const {
        const std::size_t before = queue().size();
        auto run = std::make_unique<Program>(
            Semactl::command({"run", "vsim", "--wait", "60", "--", "sh", "-c", "echo $SEMA_FENCE"}),
            semactl.options(options));
        REQUIRE(eventually([&] { return queue().size() > before; }));
        return run;
    }

    // How many waiters are connected. Nothing while the server is away.
    std::optional<std::size_t> connected() const {
        const Finished shown = semactl({"holders", "vsim", "--output", "json"});
        if (shown.status != 0) return std::nullopt;
        const Json queue = Json::parse(shown.out).at("queue");
        return std::count_if(queue.begin(), queue.end(),
                             [](const Json& waiter) { return !waiter.contains("away"); });
    }

    RunningServer server;
    Semactl semactl{server.url()};
    std::string lease;
};

int fence(const Program& run) {
    return std::stoi(run.out());
}

const std::string refused = http(
    "409 Conflict", R"({"error":"no resource available","rank":3,"queue":7,"in_use":4,"count":4,"eta":240})");

}  // namespace

TEST_CASE("who waits is served in the order of arrival, also after the server was killed and restarted") {
    World world;
    const auto first = world.queue_up();
    const auto second = world.queue_up();
    const auto third = world.queue_up();
    world.server.kill9();
    REQUIRE(second->warns("is not available"));
    world.server.start();
    REQUIRE(eventually([&] { return world.connected() == 3; }));

    world.give_back();
    for (Program* run : {first.get(), second.get(), third.get()}) {
        CHECK(run->wait() == 0);
        CHECK_THAT(run->err(), has_text("vsim: position 0, after"));
    }
    CHECK(fence(*first) < fence(*second));
    CHECK(fence(*second) < fence(*third));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("who waits with borrow keeps its place over a restart of the server, too") {
    World world;
    Program first(Semactl::command({"borrow", "vsim", "--ttl", "1h", "--wait", "60", "--output", "json"}),
                  world.semactl.options());
    REQUIRE(eventually([&] { return world.queue().size() == 1; }));
    const auto second = world.queue_up();
    world.server.kill9();
    REQUIRE(first.warns("is not available"));
    world.server.start();
    REQUIRE(eventually([&] { return world.connected() == 2; }));

    world.give_back();
    CHECK(first.wait() == 0);
    // And is printed no more than it asked for.
    const Json lease = Json::parse(first.out());
    CHECK(lease.size() == 4);
    CHECK_FALSE(second->ended());
    REQUIRE(world.semactl({"return", "vsim", lease.at("lease")}).status == 0);
    CHECK(second->wait() == 0);
}

TEST_CASE("a place in the queue survives a connection that is cut") {
    World world;
    Proxy proxy(world.server.port());
    ProgramOptions through_proxy;
    through_proxy.environment["SEMACTL_SERVER"] = proxy.url();
    const auto first = world.queue_up(through_proxy);
    const auto second = world.queue_up();
    proxy.become(Proxy::State::cutting);
    REQUIRE(first->warns("is not available"));
    REQUIRE(eventually([&] { return world.connected() == 1; }));
    proxy.become(Proxy::State::open);
    REQUIRE(eventually([&] { return world.connected() == 2; }));

    world.give_back();
    CHECK(first->wait() == 0);
    CHECK(second->wait() == 0);
    CHECK(fence(*first) < fence(*second));
}

TEST_CASE("a wait is split into calls that no proxy cuts") {
    std::vector<Scene> scenes(6, Scene{Scene::Wait::for_request, refused});
    ScriptedServer server(scenes);
    const Semactl semactl(server.url());
    Program run(Semactl::command({"run", "vsim", "--wait", "1h", "--", "true"}), semactl.options());
    // It asks for the holders too.
    const auto borrows = [&] {
        std::vector<Json> bodies;
        for (const std::string& request : server.requests()) {
            const auto head_ends = request.find("\r\n\r\n");
            if (request.find("/borrow ") == std::string::npos || head_ends == std::string::npos) continue;
            const Json body = Json::parse(request.substr(head_ends), nullptr, false);
            if (!body.is_discarded()) bodies.push_back(body);
        }
        return bodies;
    };
    REQUIRE(eventually([&] { return borrows().size() >= 4; }));
    run.signal(SIGTERM);
    run.wait();

    std::vector<double> waits;
    for (const Json& body : borrows()) {
        waits.push_back(body.at("wait"));
        CHECK(body.at("lease") == borrows().front().at("lease"));
    }
    waits.resize(4);
    CHECK(waits == std::vector<double>{1, 5, 10, 10});
}

TEST_CASE("a run that gives up takes its place out of the queue") {
    const World world;
    CHECK(world.semactl({"run", "vsim", "--wait", "0.3", "--", "true"}).status == 75);
    CHECK(world.queue().empty());
}

TEST_CASE("a run that is interrupted takes its place out of the queue, also while its server is away") {
    World world;
    const auto run = world.queue_up();
    run->signal(SIGINT);
    CHECK(run->wait(5s) == 128 + SIGINT);
    CHECK(world.queue().empty());

    const auto other = world.queue_up();
    world.server.kill9();
    REQUIRE(other->warns("is not available"));
    other->signal(SIGTERM);
    // 5 s, on a machine that is busy with other tests.
    CHECK(other->wait(8s) == 128 + SIGTERM);
    world.server.start();
    world.give_back();
    // Its place is held for somebody who may come back, and is passed over.
    CHECK(world.semactl({"run", "vsim", "--wait", "0", "--", "true"}).status == 0);
    CHECK(run->out().empty());
    CHECK(other->out().empty());
}

TEST_CASE("a waiter that is stopped is lent nothing, and goes on waiting when it is continued") {
    const World world;
    const auto stopped = world.queue_up();
    stopped->signal(SIGTSTP);
    REQUIRE(eventually([&] { return sema::find_process(stopped->pid(), sema::ProcFolder())->state == 'T'; }));
    const auto other = world.queue_up();
    world.give_back();
    CHECK(other->wait() == 0);
    CHECK(world.semactl.in_use() == 0);

    stopped->signal(SIGCONT);
    CHECK(stopped->wait() == 0);
    CHECK(fence(*stopped) > fence(*other));
}

TEST_CASE("a server that is frozen while somebody waits does not hold back a TERM") {
    World world;
    const auto run = world.queue_up();
    halt(world.server.pid());
    run->signal(SIGTERM);
    const bool ended = eventually([&] { return run->ended(); }, 6s);
    kill(world.server.pid(), SIGCONT);
    REQUIRE(ended);
    CHECK(run->wait() == 128 + SIGTERM);
    world.give_back();
    CHECK(eventually([&] { return world.queue().empty() && world.semactl.in_use() == 0; }));
}

TEST_CASE("a lease whose answer was lost is not lent twice, and the command starts with it") {
    const World world;
    Proxy proxy(world.server.port());
    ProgramOptions through_proxy;
    through_proxy.environment["SEMACTL_SERVER"] = proxy.url();
    Program run(Semactl::command({"run", "vsim", "--wait", "60", "--", "echo", "served"}),
                world.semactl.options(through_proxy));
    // The first call, of a second, is over then, and the next one, of 5 s, has reached the server.
    REQUIRE(run.warns("waiting for vsim: 1st of 1"));
    REQUIRE(eventually([&] { return world.connected() == 1; }));
    proxy.become(Proxy::State::silent);
    world.give_back();
    REQUIRE(eventually([&] { return world.semactl.in_use() == 1; }));
    proxy.become(Proxy::State::cutting);
    REQUIRE(run.warns("is not available"));
    proxy.become(Proxy::State::open);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "served\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a waiter that is stopped holds no lease whose answer was lost") {
    const World world;
    Proxy proxy(world.server.port());
    ProgramOptions through_proxy;
    through_proxy.environment["SEMACTL_SERVER"] = proxy.url();
    Program run(Semactl::command({"run", "vsim", "--wait", "60", "--", "echo", "served"}),
                world.semactl.options(through_proxy));
    REQUIRE(run.warns("waiting for vsim: 1st of 1"));
    REQUIRE(eventually([&] { return world.connected() == 1; }));
    proxy.become(Proxy::State::mute);
    world.give_back();
    REQUIRE(eventually([&] { return world.semactl.in_use() == 1; }));
    run.signal(SIGTSTP);
    proxy.become(Proxy::State::open);
    REQUIRE(eventually([&] { return sema::find_process(run.pid(), sema::ProcFolder())->state == 'T'; }));
    CHECK(world.semactl.in_use() == 0);
    CHECK(world.queue().empty());

    run.signal(SIGCONT);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "served\n");
}

TEST_CASE("a waiter that is stopped during an outage keeps its place where it comes back in time") {
    const World world;
    Proxy proxy(world.server.port());
    ProgramOptions through_proxy;
    through_proxy.environment["SEMACTL_SERVER"] = proxy.url();
    Program run(Semactl::command({"run", "vsim", "--wait", "60", "--", "sh", "-c", "echo $SEMA_FENCE"}),
                world.semactl.options(through_proxy));
    REQUIRE(run.warns("waiting for vsim: 1st of 1"));
    const auto other = world.queue_up();
    proxy.become(Proxy::State::cutting);
    REQUIRE(run.warns("is not available"));
    run.signal(SIGTSTP);
    proxy.become(Proxy::State::open);
    REQUIRE(eventually([&] { return sema::find_process(run.pid(), sema::ProcFolder())->state == 'T'; }));
    run.signal(SIGCONT);
    REQUIRE(eventually([&] { return world.connected() == 2; }));
    world.give_back();
    CHECK(run.wait() == 0);
    CHECK(other->wait() == 0);
    CHECK(fence(run) < fence(*other));
}

TEST_CASE("who waits is told its place, without a terminal in lines") {
    const World world;
    const auto run = world.queue_up();
    REQUIRE(run->warns("semactl: waiting for vsim, up to 1m\n"));
    REQUIRE(run->warns("semactl: waiting for vsim: 1st of 1"));
    CHECK_THAT(run->err(), has_text("1/1 in use \xc2\xb7 longest held ") && has_text("s by job 812\n"));
    world.give_back();
    CHECK(run->wait() == 0);
    CHECK_THAT(run->err(), has_text("semactl: vsim: position 0, after "));
}

TEST_CASE("on a terminal one live line tells the place, the use and the longest holder") {
    const World world;
    Terminal terminal;
    terminal.resize(24, 120);
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    Program run(Semactl::command({"run", "vsim", "--wait", "60", "--", "echo", "served"}),
                world.semactl.options(options));
    REQUIRE(terminal.shows("waiting for vsim: 1st of 1"));
    REQUIRE(terminal.shows("1/1 in use \xc2\xb7 longest held "));
    REQUIRE(terminal.shows("s by job 812 \xc2\xb7 "));
    world.give_back();
    CHECK(run.wait() == 0);
    // The line is wiped before the command writes anything.
    const std::string& screen = terminal.screen();
    const auto last_line = screen.rfind("waiting for vsim");
    const std::string after = screen.substr(last_line);
    CHECK_THAT(after, has_text("\r\x1b[K"));
    CHECK(after.find("\x1b[K", after.find("\r\x1b[K")) < after.find("served"));
    CHECK(std::regex_search(after, std::regex("\nserved\r\n$")));
}

TEST_CASE("a live line on a narrow terminal keeps to one row and cuts no character in two") {
    const World world;
    Terminal terminal;
    terminal.resize(24, 44);
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    Program run(Semactl::command({"run", "vsim", "--wait", "60", "--", "true"}),
                world.semactl.options(options));
    REQUIRE(terminal.shows("\rwaiting for vsim: 1st of 1 \u00b7 "));
    run.signal(SIGTERM);
    run.wait();
    const std::string& screen = terminal.screen();
    for (std::size_t at = 0; (at = screen.find("\xc2", at)) != std::string::npos; ++at)
        CHECK(screen.substr(at, 2) == "\xc2\xb7");
}

TEST_CASE("who wants more slots than the pool has is told so at once, and holds up nobody") {
    const World world;
    Program wide(Semactl::command({"run", "vsim", "--slots", "2", "--wait", "60", "--", "sh", "-c",
                                   "echo $SEMA_POSITIONS"}),
                 world.semactl.options());
    REQUIRE(wide.warns(
        "semactl: vsim: the pool has only 1 slot, and 2 are asked for: waiting until it has as many"));
    world.give_back();
    CHECK(world.semactl({"run", "vsim", "--wait", "0", "--", "true"}).status == 0);
    REQUIRE(world.semactl({"resize", "vsim", "+1"}).status == 0);
    CHECK(wide.wait() == 0);
    CHECK(wide.out() == "0 1\n");

    const Finished too_many = world.semactl({"run", "vsim", "--slots", "5", "--wait", "0", "--", "true"});
    CHECK(too_many.status == 75);
    CHECK(too_many.err ==
          "semactl: vsim: the pool has only 2 slots, and 5 were asked for (semactl resize vsim +3 "
          "adds as many as are missing)\n");
}

TEST_CASE("a run inside a run that holds the pool's slot is told what it waits for") {
    const World world;
    world.give_back();
    const Words inner = {SEMACTL, "run", "vsim", "--wait", "1", "--", "echo", "never"};
    Words nested = {"run", "vsim", "--"};
    nested.insert(nested.end(), inner.begin(), inner.end());
    const Finished alone = world.semactl(nested);
    CHECK(alone.status == 75);
    CHECK_THAT(alone.err,
               has_text("semactl: vsim: a semactl run or borrow around this one holds a slot of it, and may "
                        "keep it until this one is done\n"));

    // Somebody else's slot is nothing of that kind.
    const Finished other = world.semactl(
        {"run", "vsim", "--", "env", "-u", "SEMA_HELD", SEMACTL, "run", "vsim", "--wait", "1", "--", "true"});
    CHECK(other.status == 75);
    CHECK(other.err.find("around this one") == std::string::npos);
}

TEST_CASE("a run in a shell that has borrowed the pool's slot is told what it waits for") {
    const World world;
    world.give_back();
    const std::string script =
        "lease=$(" SEMACTL " borrow vsim --ttl 10m --shell); eval \"$lease\"; exec " SEMACTL
        " run vsim --wait 1 -- true";
    const Finished run = run_program({"sh", "-c", script}, world.semactl.options());
    CHECK(run.status == 75);
    CHECK_THAT(run.err, has_text("around this one holds a slot of it"));
}

TEST_CASE("a freed slot is handed over at once, however long the waiter's calls are") {
    const World world;
    const auto run = world.queue_up();
    // By now it waits in a call of 5 s.
    REQUIRE(run->warns("waiting for vsim: 1st of 1"));
    const auto begin = std::chrono::steady_clock::now();
    world.give_back();
    CHECK(run->wait() == 0);
    // A call of 5 s begins with that line: were the slot handed over at its end, it would take that long.
    CHECK(std::chrono::steady_clock::now() - begin < 4s);
}

TEST_CASE("a script that borrows and is refused stops there, with eval too") {
    const World world;
    const std::string script = "set -e; eval \"$(\"" SEMACTL "\" borrow vsim --ttl 10m --shell)\"; echo on";
    const Finished refusal = run_program({"sh", "-c", script}, world.semactl.options());
    CHECK(refusal.status == 75);
    CHECK(refusal.out.empty());
    const Finished wrong = run_program(
        {"sh", "-c", "eval \"$(\"" SEMACTL "\" borrow no-such-pool --ttl 10m --shell)\" || echo $?"},
        world.semactl.options());
    CHECK(wrong.out == "2\n");
}

TEST_CASE("a shell that evaluates a borrow fails where semactl refuses its words or its settings") {
    const Semactl semactl("http://127.0.0.1:9");
    const std::string bad = semactl.folder() / "bad.toml";
    std::ofstream(bad) << "[aliases\n";
    const std::string borrow = SEMACTL " borrow vsim --ttl 5 --shell";
    const auto [command, status] = GENERATE_REF(table<std::string, int>({
        {borrow + " --config " + bad, 2},
        {borrow + " --config /nonexistent", 2},
        {"SEMACTL_CONFIG=" + bad + " " + borrow, 2},
        {borrow + " --cacert /gone", 2},
        {"SEMACTL_CACERT=/gone " + borrow, 2},
        {borrow + " --server nonsense://", 2},
        {"SEMACTL_SERVER= " + borrow, 2},
        {"ulimit -n 4; " + borrow, 125},
        {borrow + " --tttl 5", 2},
        {borrow + " --ttl 5x", 2},
        {SEMACTL " borrow vsim --ttl 5x --shell", 2},
        {SEMACTL " borrow --shell vsim --ttl", 2},
        {borrow + "=yes", 2},
        {borrow + " --priority 200", 2},
        {SEMACTL " --output xml borrow vsim --ttl 5 --shell", 2},
        {SEMACTL " borrow --ttl 5 --shell", 2},
        {SEMACTL " borrow vsim --ttl 5 --shel", 2},
        {SEMACTL " borrow vsim --ttl 5 -- --shell", 2},
        {borrow + " more", 2},
    }));
    CAPTURE(command);
    // A sanitizer needs descriptors of its own.
    if (SANITIZED && command.rfind("ulimit", 0) == 0) return;
    const std::string script = "lines=$(" + command + "); echo $?; eval \"$lines\" && echo GOES ON; echo $?";
    const Finished run = run_program({"sh", "-c", script}, semactl.options());
    CAPTURE(run.err);
    CHECK(run.out == std::to_string(status) + "\n" + std::to_string(status) + "\n");
    CHECK_THAT(run.err, has_text("semactl: "));
}

TEST_CASE("what is no failure of a borrow for a shell prints no line that fails") {
    const Semactl semactl("http://127.0.0.1:9");
    for (const Words& words : {Words{"borrow", "--shell", "--help"}, Words{"return", "vsim", "x", "--shell"},
                               Words{"run", "borrow", "echo", "--shell"}})
        CHECK_THAT(semactl(words).out, !has_text("(exit"));
}

TEST_CASE("a waiter that an administrator takes out of the queue got no slot, and says why") {
    const World world;
    const auto [words, status] =
        GENERATE(table<Words, int>({{{"run", "vsim", "--wait", "5m", "--", "true"}, 75},
                                    {{"run", "vsim", "--wait", "5m", "-E", "9", "--", "true"}, 9},
                                    {{"borrow", "vsim", "--ttl", "1m", "--wait", "5m"}, 75}}));
    CAPTURE(words);
    Program waiting(Semactl::command(words), world.semactl.options());
    const std::string path = "/l/" + world.semactl.pool().str();
    // One that is about to ask again when it is taken out takes a new place.
    REQUIRE(eventually([&] {
        const HttpResponse shown = call(world.server.port(), "GET", path + "/holders");
        const Json queue = Json::parse(shown.body).at("queue");
        for (const Json& waiter : queue)
            call(world.server.port(), "POST", path + "/cancel", Json{{"waiter", waiter.at("waiter")}}.dump());
        return waiting.ended();
    }));
    CHECK(waiting.wait() == status);
    CHECK_THAT(waiting.err(), has_text("vsim: an administrator took this borrower out of the queue"));
    CHECK(world.queue().empty());
}
