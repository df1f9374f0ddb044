#include "client/client.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* name = "semad.test";
// What a name server says of it.
std::atomic<const char*> address{nullptr};
std::atomic<int> lookups{0};

}  // namespace

// Stands before the C library's.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
    static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
    const bool is_ours = node != nullptr && std::strcmp(node, name) == 0;
    if (is_ours) ++lookups;
    return real(is_ours ? address.load() : node, service, hints, result);
}

namespace {

const PoolId pool = PoolId::random();

// A server of that name, which is that of the tests' machine at the moment.
struct World {
    explicit World(std::vector<Scene> scenes) : server(std::move(scenes)) {
        setenv("no_proxy", name, 1);
        address = here;
        lookups = 0;
    }
    static constexpr const char* here = "127.0.0.1";
    static constexpr const char* elsewhere = "127.0.0.9";

    std::string port() const { return server.url().substr(server.url().rfind(':')); }

    ScriptedServer server;
    Client client{*parse_server_address("http://" + std::string(name) + port())};
};

const Scene version{Scene::Wait::for_request, http("200 OK", R"({"version":"1.2.3"})")};

}  // namespace

TEST_CASE("after a failed connect a server's name is looked up anew") {
    World world({version, version, version});
    address = World::elsewhere;
    REQUIRE(std::holds_alternative<Unreachable>(world.client.version()));
    address = World::here;
    REQUIRE(std::holds_alternative<wire::ServerVersion>(world.client.version()));
    REQUIRE(std::holds_alternative<wire::ServerVersion>(world.client.version()));
    // While all is well that is not needed.
    const int before = lookups;
    REQUIRE(std::holds_alternative<wire::ServerVersion>(world.client.version()));
    CHECK(lookups == before);
}

TEST_CASE("after an answer of something that cannot reach the server its name is looked up anew") {
    World world({version, {Scene::Wait::for_request, http("502 Bad Gateway", "<html>")}, version});
    REQUIRE(std::holds_alternative<wire::ServerVersion>(world.client.version()));
    REQUIRE(std::holds_alternative<Unreachable>(world.client.version()));
    const int before = lookups;
    REQUIRE(std::holds_alternative<wire::ServerVersion>(world.client.version()));
    CHECK(lookups == before + 1);
}

TEST_CASE("whether a request got to the server is told apart") {
    World world({{Scene::Wait::for_request, ""}});
    const auto cut = world.client.give_back(pool, LeaseId::random(), 5s);
    REQUIRE(std::holds_alternative<Unreachable>(cut));
    CHECK(std::get<Unreachable>(cut).may_be_done);
    address = World::elsewhere;
    const auto refused = world.client.give_back(pool, LeaseId::random(), 5s);
    REQUIRE(std::holds_alternative<Unreachable>(refused));
    CHECK_FALSE(std::get<Unreachable>(refused).may_be_done);
}
