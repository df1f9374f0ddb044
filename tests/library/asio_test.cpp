#include "tests/library/world.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <sema/asio.hpp>

#include <atomic>
#include <memory>
#include <thread>

using namespace sema;
using namespace sema::test;
namespace net = boost::asio;

TEST_CASE("an asynchronous operation completes on its handler's executor") {
    World world(1);
    net::io_context io;
    bool done = false;
    async_acquire(world.pool, patient(), net::bind_executor(io, [&](std::error_code code, lease held) {
                      CHECK_FALSE(code);
                      CHECK(held);
                      CHECK(io.get_executor().running_in_this_thread());
                      done = true;
                  }));
    CHECK_FALSE(done);
    io.run();
    CHECK(done);
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("futures work as tokens") {
    World world(2);
    auto acquired = async_acquire(world.pool, patient(), net::use_future);
    auto [code, held] = acquired.get();
    REQUIRE_FALSE(code);
    CHECK(std::get<1>(async_state(world.pool, net::use_future).get()).in_use == 1);
    CHECK(std::get<1>(async_release(std::move(held), net::use_future).get()));
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("an operation that is cancelled leaves the queue at once") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    net::io_context io;
    net::cancellation_signal signal;
    std::error_code ended;
    async_acquire(world.pool, patient(),
                  net::bind_cancellation_slot(
                      signal.slot(),
                      net::bind_executor(io, [&](std::error_code code, const lease&) { ended = code; })));
    REQUIRE(eventually([&] { return world.slots.waiting() == 1; }));
    signal.emit(net::cancellation_type::partial);
    io.run();
    CHECK(ended == errc::cancelled);
    CHECK(ended == std::errc::operation_canceled);
    CHECK(eventually([&] { return world.slots.waiting() == 0; }));
}

TEST_CASE("an operation of a client that is gone completes all the same") {
    net::io_context io;
    std::error_code ended;
    std::optional<client> gone(std::in_place, "http://127.0.0.1:9");
    semaphore pool(*gone, new_lease());
    gone.reset();
    async_acquire(pool, patient(),
                  net::bind_executor(io, [&](std::error_code code, const lease&) { ended = code; }));
    io.run();
    CHECK(ended == errc::client_closed);
}

TEST_CASE("a context that ends before its operations drops them, and their borrowers leave the queue") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    const auto known = std::make_shared<int>();
    std::atomic<bool> is_called = false;
    {
        net::io_context io;
        for (int i = 0; i < 3; ++i)
            async_acquire(world.pool, patient(),
                          net::bind_executor(
                              io, [&is_called, known](std::error_code, const lease&) { is_called = true; }));
        async_state(world.pool, net::bind_executor(io, [&is_called, known](std::error_code, pool_state) {
                        is_called = true;
                    }));
        REQUIRE(eventually([&] { return world.slots.waiting() == 3; }));
    }
    CHECK(known.use_count() == 1);
    CHECK(eventually([&] { return world.slots.waiting() == 0; }));
    CHECK_FALSE(is_called);
}

TEST_CASE("a context that ends while its operations complete is not touched any more") {
    World world(4);
    for (int i = 0; i < 100; ++i) {
        net::io_context io;
        for (int each = 0; each < 4; ++each)
            async_acquire(world.pool, patient(),
                          net::bind_executor(io, [](std::error_code, const lease&) {}));
        // Some are granted by now, others are not.
        if (i % 4 != 0) io.run_one();
    }
    CHECK(eventually([&] { return world.slots.in_use() == 0 && world.slots.waiting() == 0; }));
}

#if defined(BOOST_ASIO_HAS_CO_AWAIT)

namespace {

// Runs a coroutine to its end, and throws what it throws.
template <class Value>
Value run(net::awaitable<Value> work) {
    net::io_context io;
    auto result = net::co_spawn(io, std::move(work), net::use_future);
    io.run();
    return result.get();
}

}  // namespace

TEST_CASE("coroutines acquire without options") {
    World world(1);
    const auto work = [&]() -> net::awaitable<int> {
        {
            const auto [code, held] = co_await async_acquire(world.pool, net::use_awaitable);
            if (code || !held) co_return 1;
        }
        co_return co_await with_lease(world.pool,
                                      [](lease& held) -> net::awaitable<int> { co_return held ? 0 : 2; });
    };
    CHECK(run(work()) == 0);
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("a context that ends destroys the coroutines that wait in it") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    bool is_destroyed = false;
    {
        net::io_context io;
        net::co_spawn(
            io,
            [&]() -> net::awaitable<void> {
                const std::shared_ptr<bool> at_end(&is_destroyed, [](bool* destroyed) { *destroyed = true; });
                co_await with_lease(world.pool, [](lease&) -> net::awaitable<void> { co_return; });
            },
            net::detached);
        io.poll();
        REQUIRE(eventually([&] { return world.slots.waiting() == 1; }));
    }
    CHECK(is_destroyed);
    CHECK(eventually([&] { return world.slots.waiting() == 0; }));
}

TEST_CASE("a context that ends destroys the coroutines that run in it, and their leases are given back") {
    World world(1);
    bool has_begun = false;
    {
        net::io_context io;
        const auto work = [&](lease&) -> net::awaitable<void> {
            has_begun = true;
            net::steady_timer timer(co_await net::this_coro::executor, 10min);
            co_await timer.async_wait(net::use_awaitable);
        };
        net::co_spawn(io, with_lease(world.pool, patient(), work), net::detached);
        while (!has_begun)
            io.run_one();
        CHECK(world.slots.in_use() == 1);
    }
    CHECK(eventually([&] { return world.slots.in_use() == 0; }));
}

TEST_CASE("with_lease cancels a coroutine that lost its lease on the coroutine's own executor") {
    World world(1);
    acquire_options options;
    options.ttl = 10s;
    std::thread::id cancelled_by;
    const auto work = [&](lease&) -> net::awaitable<void> {
        const auto until_cancelled = [&](auto handler) {
            auto slot = net::get_associated_cancellation_slot(handler);
            const auto executor = net::get_associated_executor(handler);
            const auto kept = std::make_shared<decltype(handler)>(std::move(handler));
            slot.assign([&cancelled_by, executor, kept](net::cancellation_type) {
                cancelled_by = std::this_thread::get_id();
                net::post(executor, [kept] { (*kept)(); });
            });
        };
        world.slots.revoke(R"({"position":0})");
        co_await net::async_initiate<const net::use_awaitable_t<>&, void()>(until_cancelled,
                                                                            net::use_awaitable);
    };
    CHECK(code_of([&] { run(with_lease(world.pool, options, work)); }) == errc::lease_lost);
    CHECK(cancelled_by == std::this_thread::get_id());
}

TEST_CASE("with_lease runs a coroutine with a lease, and gives it back before it goes on") {
    World world(1);
    const int value = run([&]() -> net::awaitable<int> {
        const int inner = co_await with_lease(world.pool, patient(), [&](lease& held) -> net::awaitable<int> {
            CHECK(held);
            CHECK(world.slots.in_use() == 1);
            co_return 7;
        });
        CHECK(world.slots.in_use() == 0);
        // As it was before.
        const bool throws_if_cancelled = co_await net::this_coro::throw_if_cancelled();
        CHECK(throws_if_cancelled);
        co_return inner;
    }());
    CHECK(value == 7);
}

TEST_CASE("with_lease takes a coroutine that is there already") {
    World world(1);
    const auto work = []() -> net::awaitable<std::string> { co_return "done"; };
    CHECK(run(with_lease(world.pool, patient(), work())) == "done");
}

TEST_CASE("with_lease gives the lease back where the coroutine throws") {
    World world(1);
    const auto fail = [](lease&) -> net::awaitable<void> {
        throw std::runtime_error("work failed");
        co_return;
    };
    CHECK_THROWS_AS(run(with_lease(world.pool, patient(), fail)), std::runtime_error);
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("with_lease cancels the coroutine when the lease is lost, and says why") {
    World world(1);
    acquire_options options;
    options.ttl = 10s;
    std::error_code why;
    bool was_cancelled = false;
    const auto work = [&](lease&) -> net::awaitable<void> {
        world.slots.revoke(R"({"position":0})");
        net::steady_timer timer(co_await net::this_coro::executor, 10min);
        const auto [code] = co_await timer.async_wait(net::as_tuple(net::use_awaitable));
        was_cancelled = code == net::error::operation_aborted;
    };
    try {
        run(with_lease(world.pool, options, work));
    } catch (const error& error) {
        why = error.code();
    }
    CHECK(was_cancelled);
    CHECK(why == errc::lease_lost);
}

TEST_CASE("with_lease that is cancelled while it waits leaves the queue, and later gives the lease back") {
    World world(1);
    std::optional<lease> held = world.pool.acquire(patient());
    net::io_context io;
    net::cancellation_signal signal;
    bool done = false;
    const auto begin = [&](auto work) {
        done = false;
        net::co_spawn(io, with_lease(world.pool, patient(), work),
                      net::bind_cancellation_slot(
                          signal.slot(), [&](std::exception_ptr thrown) { done = thrown != nullptr; }));
        io.restart();
    };
    const auto forever_busy = [&](lease&) -> net::awaitable<void> {
        net::post(io, [&] { signal.emit(net::cancellation_type::terminal); });
        net::steady_timer timer(co_await net::this_coro::executor, 10min);
        co_await timer.async_wait(net::use_awaitable);
    };
    begin(forever_busy);
    io.poll();
    REQUIRE(eventually([&] { return world.slots.waiting() == 1; }));
    signal.emit(net::cancellation_type::terminal);
    io.run();
    CHECK(done);
    CHECK(eventually([&] { return world.slots.waiting() == 0; }));

    held.reset();
    begin(forever_busy);
    io.run();
    CHECK(done);
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("with_lease that is cancelled once the lease is granted, and before it goes on, begins nothing") {
    World world(1);
    acquire_options options;
    options.ttl = 10s;
    net::io_context io;
    net::cancellation_signal signal;
    bool began = false;
    const auto work = [&](lease&) -> net::awaitable<void> {
        began = true;
        co_return;
    };
    std::exception_ptr ended;
    net::co_spawn(
        io, with_lease(world.pool, options, work),
        net::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr thrown) { ended = thrown; }));
    // On the coroutine's thread, which has yet to come to the grant: elsewhere a cancellation queues up
    // behind that.
    net::post(io, [&] {
        REQUIRE(eventually([&] { return world.slots.in_use() == 1; }));
        // The client renews what it has granted.
        const auto first = world.pool.holders().at(0).expires_at;
        REQUIRE(eventually([&] { return world.pool.holders().at(0).expires_at > first; }));
        signal.emit(net::cancellation_type::terminal);
    });
    io.run();
    CHECK_FALSE(began);
    REQUIRE(ended);
    CHECK(code_of([&] { std::rethrow_exception(ended); }) == errc::cancelled);
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("coroutines on several threads share a pool, as many at a time as it has slots") {
    World world(4);
    net::thread_pool threads(3);
    std::atomic<int> inside = 0;
    std::atomic<int> most = 0;
    std::atomic<int> done = 0;
    for (int i = 0; i < 200; ++i) {
        net::co_spawn(threads,
                      with_lease(world.pool, patient(5min),
                                 [&](lease&) -> net::awaitable<void> {
                                     const int now = ++inside;
                                     for (int seen = most;
                                          now > seen && !most.compare_exchange_weak(seen, now);) {
                                     }
                                     co_await net::post(net::use_awaitable);
                                     --inside;
                                     ++done;
                                 }),
                      net::detached);
    }
    threads.join();
    CHECK(done == 200);
    CHECK(most <= 4);
    CHECK(world.slots.in_use() == 0);
}

#endif
