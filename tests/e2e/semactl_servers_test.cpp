#include "tests/e2e/ha_pair.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <system_error>

// semactl with several servers, of which one goes away in the middle of something.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// Two semads over one Redis, a pool of one slot, and semactl, which knows both and begins with the first.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    Program start(Words words) const {
        return Program(Semactl::command(std::move(words)), semactl.options());
    }
    // Starts a run that has to wait, and returns once the other server sees it. It prints its fence, which
    // tells when it was served.
    std::unique_ptr<Program> queue_up() const {
        const std::size_t before = there.waiting();
        auto run = std::make_unique<Program>(
            Semactl::command({"run", "vsim", "--wait", "5m", "--", "sh", "-c", "echo $SEMA_FENCE"}),
            semactl.options());
        REQUIRE(shows_waiting(there, before + 1));
        return run;
    }
    // Whether so many wait soon with a connection to the other server.
    bool wait_there(std::size_t count) const {
        return eventually([&] {
            const Json queue = there.view().at("queue");
            return queue.size() == count && std::none_of(queue.begin(), queue.end(), [](const Json& waiter) {
                       return waiter.contains("away");
                   });
        });
    }

    Pair pair{{"--rejoin", "5m"}};
    Semactl semactl{pair.one.url() + "," + pair.other.url()};
    TestPool there{pair.other, semactl.pool().str()};
};

// Waits for the file, which the test makes when the command is to end.
std::string until_there(const std::filesystem::path& file) {
    return "echo ready; until [ -e '" + file.string() + "' ]; do sleep 0.05; done";
}

// A port where connections are taken by the system, or not even that, and nobody answers.
class BlackHole {
  public:
    enum class Takes { connections, nothing };
    explicit BlackHole(Takes takes) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const raw = reinterpret_cast<sockaddr*>(&address);
        const int backlog = takes == Takes::connections ? 64 : 0;
        if (bind(listener_, raw, size) != 0 || listen(listener_, backlog) != 0 ||
            getsockname(listener_, raw, &size) != 0)
            throw std::system_error(errno, std::generic_category(), "listen");
        url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        // More than fit: whatever comes then is dropped, as by a machine that is off.
        for (int i = 0; takes == Takes::nothing && i < 4; ++i) {
            fillers_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            connect(fillers_.back(), raw, size);
        }
    }
    ~BlackHole() {
        for (const int filler : fillers_)
            close(filler);
        close(listener_);
    }
    BlackHole(const BlackHole&) = delete;
    BlackHole& operator=(const BlackHole&) = delete;

    const std::string& url() const { return url_; }

  private:
    int listener_;
    std::vector<int> fillers_;
    std::string url_;
};

}  // namespace

TEST_CASE("who waits goes on at the next server, in its place, when a server is killed or stops") {
    for (const End end : {End::kill, End::term}) {
        World world;
        const Slot held = world.there.take(3600);
        const auto first = world.queue_up();
        const auto second = world.queue_up();
        const auto third = world.queue_up();
        stop(world.pair.one, end);
        REQUIRE(world.wait_there(3));
        REQUIRE(world.there.returns(held));
        int before = 0;
        for (Program* run : {first.get(), second.get(), third.get()}) {
            CHECK(run->wait() == 0);
            CHECK(std::stoi(run->out()) > before);
            before = std::stoi(run->out());
        }
        CHECK(world.there.in_use() == 0);
    }
}

TEST_CASE("a command keeps its slot when the server that lent it is killed, and it is returned to the next") {
    World world;
    Program run = world.start({"run", "vsim", "--ttl", "6", "--", "sh", "-c", "echo ready; sleep 9; exit 6"});
    REQUIRE(run.prints("ready"));
    world.pair.one.kill9();
    CHECK(run.wait() == 6);
    CHECK(world.there.in_use() == 0);
    CHECK_THAT(run.err(), !has_text("cannot"));
}

TEST_CASE("a command keeps its slot when the server that lent it says nothing any more") {
    World world;
    Program run = world.start({"run", "vsim", "--ttl", "6", "--", "sh", "-c", "echo ready; sleep 9; exit 6"});
    REQUIRE(run.prints("ready"));
    world.pair.one.program().signal(SIGSTOP);
    CHECK(run.wait() == 6);
    CHECK(world.there.in_use() == 0);
}

TEST_CASE("a slot is returned through the next server when one dies meanwhile") {
    for (const bool is_silent : {false, true}) {
        World world;
        const auto flag = world.semactl.folder() / "end";
        Program run = world.start({"run", "vsim", "--ttl", "10m", "--", "sh", "-c", until_there(flag)});
        REQUIRE(run.prints("ready"));
        is_silent ? world.pair.one.program().signal(SIGSTOP) : world.pair.one.kill9();
        std::ofstream(flag) << "now";
        CHECK(run.wait() == 0);
        CHECK(world.there.in_use() == 0);
        CHECK_THAT(run.err(), !has_text("cannot return"));
    }
}

TEST_CASE("a server that is not there from the start, or says nothing, is passed over") {
    const World world;
    const ReservedPort nobody;
    const BlackHole accepting(BlackHole::Takes::connections);
    const BlackHole dropping(BlackHole::Takes::nothing);
    const auto both = [&](const std::string& first, Words words) {
        words.insert(words.begin(), {"--server", first + ", " + world.pair.other.url()});
        const Finished done = world.semactl(words);
        CAPTURE(words, done.err);
        CHECK(done.status == 0);
        return done.out;
    };
    const std::string refusing = "http://127.0.0.1:" + std::to_string(nobody.number());
    CHECK_THAT(both(refusing, {"ping"}), has_text(" at " + world.pair.other.url() + ":"));
    for (const std::string& first : {refusing, dropping.url()})
        CHECK(both(first, {"run", "vsim", "--wait", "0", "--", "echo", "served"}) == "served\n");
    CHECK(both(accepting.url(), {"run", "vsim", "--", "echo", "served"}) == "served\n");
    // This names a lease of its own, as it may have been granted one already.
    const std::string lease =
        Json::parse(both(accepting.url(), {"--output", "json", "borrow", "vsim", "--ttl", "1h"})).at("lease");
    both(accepting.url(), {"keepalive", "vsim", lease, "--ttl", "1h"});
    both(dropping.url(), {"return", "vsim", lease});
}

TEST_CASE("where no server is there, that is said of each, and a run waits for one") {
    World world;
    world.pair.one.kill9();
    world.pair.other.kill9();
    const Finished ping = world.semactl({"ping"});
    CHECK(ping.status == 69);
    CHECK(ping.err == "semactl: " + world.pair.one.url() + " is not available: Connection refused, and " +
                          world.pair.other.url() + " is not available: Connection refused\n");
    Program run = world.start({"run", "vsim", "--wait", "5m", "--", "true"});
    REQUIRE(run.warns(" is not available: Connection refused, and "));
    world.pair.other.start();
    CHECK(run.wait() == 0);
    CHECK_THAT(run.err(), has_text(world.pair.other.url() + " is available again"));
}

TEST_CASE("a watch goes on at the next server when one is killed") {
    World world;
    Program watch = world.start({"watch", "vsim"});
    REQUIRE(watch.prints("\"count\":1,"));
    world.pair.one.kill9();
    world.there.set_count(2);
    REQUIRE(watch.prints("\"count\":2,"));
    watch.signal(SIGINT);
    CHECK(watch.wait() == 128 + SIGINT);
}

TEST_CASE("a server that shares no store takes no lease and no place away") {
    RunningServer one;
    const RunningServer stranger;
    const Semactl semactl(one.url() + "," + stranger.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const auto flag = semactl.folder() / "end";
    Program holder(
        Semactl::command({"run", "vsim", "--ttl", "20", "--", "sh", "-c", until_there(flag) + "; exit 4"}),
        semactl.options());
    REQUIRE(holder.prints("ready"));
    Program waiter(Semactl::command({"run", "vsim", "--wait", "5m", "--", "echo", "served"}),
                   semactl.options());
    // Of its place it knows from an answer of the first server.
    REQUIRE(waiter.warns("1st of 1"));
    one.kill9();
    REQUIRE(holder.warns("knows no such pool (do the servers share a store?)"));
    REQUIRE(waiter.warns("knows no such pool (do the servers share a store?)"));
    const Finished fresh = semactl({"run", "vsim", "--", "true"});
    CHECK(fresh.status == 66);
    CHECK_THAT(fresh.err, has_text("no such pool on " + stranger.url() + " (" + one.url() +
                                   " is not available: Connection refused: do the servers share a store?)"));
    one.start();
    REQUIRE(holder.warns("the lease is renewed again"));
    std::ofstream(flag) << "now";
    CHECK(holder.wait() == 4);
    CHECK(waiter.wait() == 0);
    CHECK(waiter.out() == "served\n");
}

TEST_CASE("servers are named by the option before the variable, and by that before the file") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const auto config = semactl.folder() / "semactl/config.toml";
    std::ofstream(config) << "server = ['http://127.0.0.1:1', '" << server.url() << "']\n";
    ProgramOptions in_file = semactl.options();
    in_file.environment["SEMACTL_SERVER"] = "";
    CHECK(run_program(Semactl::command({"ping"}), in_file).status == 0);
    std::ofstream(config) << "server = 'http://127.0.0.1:1, " << server.url() << "'\n";
    CHECK(run_program(Semactl::command({"ping"}), in_file).status == 0);
    std::ofstream(config) << "server = 'http://127.0.0.1:1'\n";
    CHECK(run_program(Semactl::command({"ping"}), in_file).status == 69);
    CHECK(semactl({"ping"}).status == 0);
    CHECK(semactl({"--server", "http://127.0.0.1:1", "ping"}).status == 69);
    const Finished empty = semactl({"--server", server.url() + ",", "ping"});
    CHECK(empty.status == 2);
    CHECK_THAT(empty.err, has_text("--server: the server's address is not a URL"));
}

TEST_CASE("a wait for several pools is no longer for a server that says nothing") {
    const World world;
    const BlackHole accepting(BlackHole::Takes::connections);
    const auto begin = std::chrono::steady_clock::now();
    const Finished done = world.semactl({"--server", accepting.url(), "run", sema::PoolId::random().str(),
                                         sema::PoolId::random().str(), "--wait", "1", "--", "true"});
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    CHECK(done.status == 69);
}
