// Threads that share a semaphore with every other program that names it, in the words of the standard
// library: workers SERVER SEMAPHORE-POOL MUTEX-POOL
#include <sema/sema.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

int main(int count, char** arguments) try {
    using namespace std::chrono_literals;
    if (count != 4) {
        std::cerr << "usage: workers SERVER SEMAPHORE-POOL MUTEX-POOL\n";
        return 2;
    }
    sema::client client(arguments[1]);
    // Makes the pool with three permits, unless somebody has.
    sema::counting_semaphore permits(client, arguments[2], 3);
    sema::mutex log(client, arguments[3]);

    std::exception_ptr trouble;
    std::mutex trouble_mutex;
    const auto work = [&](int number) {
        try {
            if (!permits.try_acquire_for(1min)) throw std::runtime_error("no permit came free");
            {
                const std::scoped_lock lock(log);
                std::cout << "worker " << number << " works" << std::endl;
            }
            permits.release();
        } catch (...) {
            const std::scoped_lock lock(trouble_mutex);
            trouble = std::current_exception();
        }
    };
    std::vector<std::thread> workers;
    for (int number = 0; number < 6; ++number)
        workers.emplace_back(work, number);
    for (std::thread& worker : workers)
        worker.join();
    if (trouble) std::rethrow_exception(trouble);
    std::cout << permits.value() << " permits are free" << std::endl;
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
