#pragma once

#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"

#include <sema/sema.hpp>

#include <chrono>
#include <string>
#include <system_error>
#include <utility>

namespace sema::test {

using namespace std::chrono_literals;

/// A destructor's and a loss's bound, with room for a busy machine.
inline constexpr std::chrono::seconds bound{5};
inline constexpr std::chrono::milliseconds slack{1500};

/// A semad with a pool, and a client of it.
struct World {
    explicit World(int count, std::vector<std::string> options = {})
        : server(std::move(options)), slots(server, count), client(server.url()), pool(client, slots.id()) {}

    RunningServer server;
    TestPool slots;
    sema::client client;
    sema::semaphore pool;
};

/// What an acquire asks for: a lease that no stall of the machine ends.
inline acquire_options patient(std::chrono::nanoseconds wait = patience) {
    acquire_options options;
    options.ttl = 5min;
    options.wait = wait;
    return options;
}

/// The code that a call throws; none where it throws none.
template <class Function>
std::error_code code_of(Function function) {
    try {
        function();
    } catch (const sema::error& error) {
        return error.code();
    }
    return {};
}

/// How long a function takes.
template <class Function>
std::chrono::milliseconds time_of(Function function) {
    const auto begin = std::chrono::steady_clock::now();
    function();
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
}

}  // namespace sema::test
