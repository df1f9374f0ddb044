#include "tests/support/network.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/raw_client.hpp"
#include "tests/support/redis_server.hpp"

#include <iostream>
#include <utility>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

bool reaches(const std::string& address, int port) {
    try {
        const RawClient client(port, address, 300ms);
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

}  // namespace

TEST_CASE("machines of a network reach each other until they are cut off or unplugged") {
    std::string why_not;
    const auto network = Network::make(why_not);
    if (!network) {
        std::cout << "left out, as no network can be made here: " << why_not << '\n';
        return;
    }
    RedisOptions options;
    const std::size_t one = network->add();
    const std::size_t other = network->add();
    options.address = network->address(one);
    options.program = network->on(one);
    const RedisServer server(options);
    const auto other_reaches = [&] {
        ProgramOptions on_other = network->on(other);
        return run_program({"timeout", "0.3", "redis-cli", "-h", network->address(one), "-p",
                            std::to_string(server.port()), "ping"},
                           on_other)
                   .out == "PONG\n";
    };
    CHECK(reaches(network->address(one), server.port()));
    CHECK(eventually(other_reaches));

    for (const auto& [from, to] : {std::pair(one, other), std::pair(other, one)}) {
        network->cut(from, to);
        CHECK(reaches(network->address(one), server.port()));
        CHECK_FALSE(other_reaches());
        network->mend(from, to);
        CHECK(eventually(other_reaches));
    }

    network->unplug(one);
    CHECK_FALSE(reaches(network->address(one), server.port()));
    CHECK_FALSE(other_reaches());
    network->plug(one);
    CHECK(eventually(other_reaches));
    CHECK(eventually([&] { return reaches(network->address(one), server.port()); }));
}
