// Pairs of acquire and release through libsema, in the form of output of sema_load:
//
//   sema_library sync|async --port N --pool UUID --count N --seconds S
//
// `sync`: threads that block, on one client. `async`: as many acquires under way at a time on one client.
#include "bench/figures.hpp"

#include <CLI/CLI.hpp>
#include <sema/sema.hpp>

#include <atomic>
#include <cstdio>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace sema::bench {
namespace {

struct Load {
    int port = 0;
    std::string pool;
    std::size_t count = 1;
    double seconds = 1;
};

// What was done until the time was over.
struct Done {
    std::mutex mutex;
    Samples borrows{};
    Samples pairs{};
    std::error_code trouble{};

    void add(Clock::duration borrow, Clock::duration pair) {
        const std::lock_guard lock(mutex);
        borrows.add(borrow);
        pairs.add(pair);
    }
    void fail(std::error_code code) {
        const std::lock_guard lock(mutex);
        trouble = code;
    }
};

// What both ways ask for: nothing is renewed, as it is done long before.
acquire_options wish() {
    acquire_options options;
    options.renew = false;
    return options;
}

void run_threads(semaphore& pool, std::size_t count, Clock::time_point end, Done& done) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i) {
        threads.emplace_back([&] {
            std::error_code code;
            while (!code) {
                const auto begin = Clock::now();
                if (begin >= end) return;
                lease held = pool.acquire(wish(), code);
                const auto granted = Clock::now();
                if (!code) held.give_back(code);
                if (!code) done.add(granted - begin, Clock::now() - begin);
            }
            done.fail(code);
        });
    }
    for (std::thread& thread : threads)
        thread.join();
}

// One after the other, until the time is over. All of it happens on the client's thread.
class Chain {
  public:
    Chain(semaphore& pool, Clock::time_point end, Done& done, std::atomic<std::size_t>& running)
        : pool_(pool), end_(end), done_(done), running_(running) {}

    void begin() {
        begun_ = Clock::now();
        if (begun_ >= end_) return over();
        pool_.start_acquire(wish(), [this](std::error_code code, lease held) {
            if (code) return fail(code);
            granted_ = Clock::now();
            held.start_give_back([this](std::error_code trouble, bool) {
                if (trouble) return fail(trouble);
                done_.add(granted_ - begun_, Clock::now() - begun_);
                begin();
            });
        });
    }

  private:
    void fail(std::error_code code) {
        done_.fail(code);
        over();
    }
    void over() {
        --running_;
        running_.notify_one();
    }

    semaphore& pool_;
    const Clock::time_point end_;
    Done& done_;
    std::atomic<std::size_t>& running_;
    Clock::time_point begun_;
    Clock::time_point granted_;
};

void run(const Load& load, bool is_sync) {
    Done done;
    // What the client's thread uses outlives it.
    std::atomic<std::size_t> running = load.count;
    std::deque<Chain> chains;
    client client("http://127.0.0.1:" + std::to_string(load.port));
    semaphore pool(client, load.pool);
    const auto begin = Clock::now();
    const auto end =
        begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(load.seconds));
    if (is_sync) {
        run_threads(pool, load.count, end, done);
    } else {
        for (std::size_t i = 0; i < load.count; ++i)
            chains.emplace_back(pool, end, done, running);
        for (Chain& chain : chains)
            chain.begin();
        for (std::size_t left = running; left > 0; left = running)
            running.wait(left);
    }
    if (done.trouble) throw std::runtime_error(done.trouble.message());
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    report("pairs_per_second", static_cast<double>(done.pairs.size()) / elapsed.count());
    report("borrow", done.borrows);
    report("pair", done.pairs);
    std::printf("\n");
}

}  // namespace
}  // namespace sema::bench

int main(int count, char** arguments) {
    using namespace sema::bench;
    CLI::App app("Pairs of acquire and release through libsema");
    app.require_subcommand(1);
    Load load;
    for (const char* mode : {"sync", "async"}) {
        auto* sub = app.add_subcommand(mode);
        sub->add_option("--port", load.port)->required();
        sub->add_option("--pool", load.pool)->required();
        sub->add_option("--count", load.count);
        sub->add_option("--seconds", load.seconds);
    }
    CLI11_PARSE(app, count, arguments);
    try {
        run(load, app.got_subcommand("sync"));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
