// A hundred coroutines that take turns on the slots of a pool, on one thread: coroutines SERVER POOL
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sema/asio.hpp>

#include <chrono>
#include <exception>
#include <iostream>

namespace {

namespace net = boost::asio;
using namespace std::chrono_literals;

// Cancelled where the lease is lost.
net::awaitable<void> use(sema::lease& seat) {
    net::steady_timer timer(co_await net::this_coro::executor, seat.position() == 0 ? 2ms : 1ms);
    co_await timer.async_wait(net::use_awaitable);
}

}  // namespace

int main(int count, char** arguments) try {
    if (count != 3) {
        std::cerr << "usage: coroutines SERVER POOL\n";
        return 2;
    }
    sema::client client(arguments[1]);
    sema::semaphore seats(client, arguments[2]);
    sema::acquire_options options;
    options.wait = 5min;

    net::io_context io;
    int done = 0;
    std::exception_ptr trouble;
    for (int i = 0; i < 100; ++i) {
        net::co_spawn(io, sema::with_lease(seats, options, use), [&](std::exception_ptr thrown) {
            if (thrown) trouble = thrown;
            if (!thrown) ++done;
        });
    }
    io.run();
    if (trouble) std::rethrow_exception(trouble);
    std::cout << done << " coroutines had a seat" << std::endl;
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
