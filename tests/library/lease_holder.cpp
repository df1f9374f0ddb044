// A program that holds a slot and looks before each use of it whether it does: lease_holder URL POOL
// TTL-SECONDS. It says "held POSITION FENCE", and once the lease is lost "lost REASON LAST", where LAST is
// when it used the slot last, in microseconds since the machine's start.
#include <sema/sema.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <iostream>
#include <thread>

namespace {

std::int64_t now() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1000;
}

}  // namespace

int main(int, char** arguments) try {
    sema::client client(arguments[1]);
    sema::semaphore pool(client, arguments[2]);
    sema::acquire_options options;
    options.ttl = std::chrono::milliseconds(static_cast<std::int64_t>(std::atof(arguments[3]) * 1000));
    const sema::lease lease = pool.acquire(options);
    std::cout << "held " << lease.position() << ' ' << lease.fence() << std::endl;
    std::int64_t last = 0;
    for (;;) {
        const std::int64_t used = now();
        if (lease.lost().stop_requested()) break;
        last = used;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::cout << "lost " << lease.reason().message() << " at " << last << std::endl;
} catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
}
