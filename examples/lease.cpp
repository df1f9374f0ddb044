// Runs one piece of work with a slot of a pool: lease SERVER POOL
//
// The lease is renewed in the background. Where it is lost, as after a revoke, the work stops before the slot
// is lent to somebody else.
#include <sema/sema.hpp>

#include <chrono>
#include <iostream>
#include <thread>

namespace {

using namespace std::chrono_literals;

// Work in steps, each short beside `acquire_options::grace`.
bool simulate(const sema::lease& seat) {
    const std::stop_token lost = seat.lost();
    for (int step = 0; step < 10; ++step) {
        if (lost.stop_requested()) return false;
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

}  // namespace

int main(int count, char** arguments) try {
    if (count != 3) {
        std::cerr << "usage: lease SERVER POOL\n";
        return 2;
    }
    sema::client client(arguments[1]);
    sema::semaphore seats(client, arguments[2]);

    sema::acquire_options options;
    options.ttl = 30s;
    options.wait = 1min;
    options.holder = "example";
    sema::lease seat = seats.acquire(options);
    std::cout << "position " << seat.position() << ", fence " << seat.fence() << std::endl;

    if (!simulate(seat)) {
        std::cerr << "the seat was lost: " << seat.reason().message() << '\n';
        return 1;
    }
    // The destructor would do; this one says whether the seat was held to the end.
    std::cout << (seat.give_back() ? "done" : "lost at the end") << std::endl;
} catch (const sema::error& error) {
    std::cerr << error.what() << '\n';
    return error.code() == sema::errc::no_slot ? 3 : 1;
}
