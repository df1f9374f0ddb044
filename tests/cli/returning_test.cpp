#include "cli/run/held_lease.hpp"
#include "tests/cli/captured_stderr.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/scripted_server.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

const Scene returned{Scene::Wait::for_request, http("200 OK", R"({"returned":true})")};
const Scene not_held{Scene::Wait::for_request, http("200 OK", R"({"returned":false})")};
const Scene lost{Scene::Wait::for_request, ""};
const Scene unanswered{Scene::Wait::for_end_of_input, ""};
const Scene ingress{Scene::Wait::for_request, http("404 Not Found", "<html>default backend</html>")};
const Scene stopping{Scene::Wait::for_request,
                     http("503 Service Unavailable", R"({"error":"shutting down"})")};
const Scene failing{Scene::Wait::for_request,
                    http("502 Bad Gateway", R"({"error":"database command failed"})")};
const Scene refusing{Scene::Wait::for_request,
                     http("400 Bad Request", R"({"error":"lease must be a UUID"})")};

// Leases of pools that a server had lent before its scenes begin.
struct World {
    explicit World(std::vector<Scene> scenes) : server(std::move(scenes)) { client.expect_semad(); }

    HeldLease& lease(const std::string& name) {
        Grant grant{{LeaseId::random(), 0, 1781337630, 60}, 60s, BootClock::now()};
        leases.push_back(std::make_unique<HeldLease>(
            client, console, PoolRef{.id = PoolId::random(), .name = name, .argument = name}, grant));
        return *leases.back();
    }
    // Tries to return them all for so long. Returns what was said.
    std::string give_back(Duration time, std::vector<Duration> left = {}) {
        const Moment begin = BootClock::now();
        Returning returning([&] { return begin + time; });
        left.resize(leases.size(), 60s);
        for (std::size_t i = 0; i < leases.size(); ++i)
            returning.add(*leases[i], begin + left[i]);
        returning.run();
        return err.take();
    }
    // Whose return each request asked for.
    std::vector<std::size_t> returns() const {
        std::vector<std::size_t> numbers;
        for (const std::string& request : server.requests()) {
            for (std::size_t i = 0; i < leases.size(); ++i) {
                if (request.find(leases[i]->grant().lease.lease.str()) != std::string::npos)
                    numbers.push_back(i);
            }
        }
        return numbers;
    }

    ScriptedServer server;
    CapturedStderr err;
    Console console{Verbosity::normal, Output::text};
    Client client{*parse_server_address(server.url())};
    std::vector<std::unique_ptr<HeldLease>> leases;
};

}  // namespace

TEST_CASE("a lease that cannot be returned at once is returned a little later, without a word") {
    for (const Scene& trouble : {lost, ingress, stopping, failing}) {
        World world({trouble, trouble, returned});
        world.lease("a");
        CHECK(world.give_back(10s).empty());
        CHECK(world.server.requests().size() == 3);
    }
}

TEST_CASE("a lease that is not held is one that a lost try has returned, where there may have been one") {
    {
        World world({lost, not_held});
        world.lease("a");
        CHECK(world.give_back(10s).empty());
    }
    {
        World world({failing, not_held});
        world.lease("a");
        CHECK(world.give_back(10s).empty());
    }
    World world({stopping, not_held});
    world.lease("a");
    CHECK(
        world.give_back(10s) ==
        "semactl: a: the lease was gone before it was returned (it had expired, or the pool was deleted)\n");
}

TEST_CASE("a return that the server refuses is not tried again") {
    World world({refusing});
    world.lease("a");
    CHECK_THAT(world.give_back(10s),
               has_text("a: cannot return the slot: http://") &&
                   has_text(" refused: lease must be a UUID (status 400) (unless it got there"));
}

TEST_CASE("the time that is left for another try is never said to be none") {
    // More than one to end it: on a busy machine an answer may be late.
    World world({unanswered, returned, returned, returned});
    HeldLease& lease = world.lease("a");
    // Plenty for the first try, which takes a while, and then little at each look.
    Duration left = 60s;
    Returning returning([&] { return BootClock::now() + std::exchange(left, 400ms); });
    returning.add(lease, BootClock::now() + 60s);
    returning.run();
    CHECK_THAT(world.err.take(),
               has_text("a: cannot return the slot") && has_text("(trying again for less than 1s)\n"));
}

TEST_CASE("several leases are returned in turn, and one that is not answered keeps none waiting") {
    World world({unanswered, returned, lost, unanswered, returned, returned});
    world.lease("a");
    world.lease("b");
    world.lease("c");
    CHECK(world.give_back(6s).find("frees itself") == std::string::npos);
    CHECK(world.returns() == std::vector<std::size_t>{0, 1, 2, 0, 2, 0});
}

TEST_CASE("returning is given up at its deadline, or when the lease has ended") {
    // Nobody answers.
    World world({});
    world.lease("a");
    world.lease("b");
    const Moment begin = BootClock::now();
    const std::string err = world.give_back(800ms, {1ms, 60s});
    CHECK_THAT(err, has_text("a: cannot return the slot") && has_text("b: cannot return the slot") &&
                        has_text("frees itself when its ttl ends"));
    CHECK(err.find(" a: ") < err.find(" b: "));
    CHECK(BootClock::now() - begin >= 800ms);
    CHECK(BootClock::now() - begin < 10s);
}

TEST_CASE("returning ends at its deadline, and not at the end of the pause that this falls into", "[alone]") {
    int late = 0;
    for (const Duration time : {600ms, 650ms, 700ms, 750ms, 800ms}) {
        World world(std::vector<Scene>(20, lost));
        world.lease("a");
        const Moment begin = BootClock::now();
        CHECK_THAT(world.give_back(time), has_text("frees itself when its ttl ends"));
        if (BootClock::now() - begin > time + 100ms) ++late;
    }
    // Pauses are of any length: without an end some would be too long, but a busy machine may stall once.
    CHECK(late <= 1);
}

TEST_CASE("however many leases there are, all are tried before the deadline", "[alone]") {
    // Who is not answered waits until the try is given up.
    World world(std::vector<Scene>(10, unanswered));
    for (int i = 0; i < 10; ++i)
        world.lease("p" + std::to_string(i));
    const Moment begin = BootClock::now();
    world.give_back(1s);
    CHECK(BootClock::now() - begin < 1700ms);
    CHECK(eventually([&] { return world.returns().size() == 10; }));
}
