#include "tests/e2e/history.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;
using Outcome = ReturnAttempt::Outcome;

namespace {

constexpr int client_count = 16;
constexpr int kill_count = 25;
// No more than this is spent on kills, however slow the machine.
constexpr std::chrono::seconds longest_run(60);

/// Random numbers whose seed is printed: a test that failed can be run again with much the same load.
class Dice {
  public:
    explicit Dice(unsigned seed) : engine_(seed) {}
    bool chance(double probability) { return std::bernoulli_distribution(probability)(engine_); }
    int number(int from, int to) { return std::uniform_int_distribution<int>(from, to)(engine_); }
    std::chrono::milliseconds time(int from_ms, int to_ms) {
        return std::chrono::milliseconds(number(from_ms, to_ms));
    }

  private:
    std::mt19937 engine_;
};

struct Tally {
    std::vector<Holding> holdings;
    int unknown_borrows = 0;
    int refused = 0;
    int hang_ups = 0;
};

/// Somebody who borrows, works and returns, over and over, and writes down what came of it.
class Client {
  public:
    Client(int port, const std::vector<TestPool>& pools, unsigned seed, const std::atomic<bool>& over)
        : port_(port), pools_(pools), dice_(seed), over_(over) {}

    void work() {
        while (!over_) {
            const auto pool = static_cast<std::size_t>(dice_.number(0, static_cast<int>(pools_.size()) - 1));
            const bool is_brief = dice_.chance(0.6);
            const auto ttl = is_brief ? dice_.time(30, 300) : dice_.time(2000, 5000);
            const auto wait = dice_.chance(0.3) ? 0ms : dice_.time(50, 1000);
            if (dice_.chance(0.05)) {
                hang_up(pool, ttl);
                continue;
            }
            auto holding = borrow(pool, ttl, wait);
            if (!holding) continue;
            // Some leases are left to expire, and some outlive a kill or two.
            if (dice_.chance(is_brief ? 0.8 : 0.95)) {
                const bool is_long_work = !is_brief && dice_.chance(0.2);
                pause(is_long_work ? dice_.time(300, 1500) : dice_.time(0, 20));
                give_back(*holding);
            }
            tally.holdings.push_back(std::move(*holding));
        }
    }

    /// Tries until an answer comes, and now and then once more.
    void give_back(Holding& holding) {
        Slot slot;
        slot.lease = holding.lease;
        while (connect()) {
            ReturnAttempt made;
            made.asked = boot_time();
            const auto response = exchange(pools_[holding.pool].return_request(slot));
            made.answered = boot_time();
            if (response && response->status == 200)
                made.outcome = response->body == R"({"returned":true})" ? Outcome::yes : Outcome::no;
            holding.returns.push_back(made);
            if (made.outcome != Outcome::unknown && !dice_.chance(0.1)) return;
        }
    }

    Tally tally;

  private:
    static double seconds(std::chrono::milliseconds time) {
        return std::chrono::duration<double>(time).count();
    }

    /// Time passes; the end of the test is not slept through.
    void pause(std::chrono::milliseconds time) {
        eventually([&] { return over_.load(); }, time);
    }

    /// Goes on trying while the server is down. False: the test is over.
    bool connect() {
        while (!connection_ && !over_) {
            try {
                connection_.emplace(port_);
            } catch (const std::exception&) {
                pause(2ms);
            }
        }
        return connection_.has_value();
    }

    /// Nothing where no answer came, or no whole one: the server went down meanwhile. REQUIRES: connect().
    std::optional<HttpResponse> exchange(const std::string& request) {
        try {
            connection_->send(request);
            return connection_->receive();
        } catch (const std::exception&) {
            connection_.reset();
            return std::nullopt;
        }
    }

    std::optional<Holding> borrow(std::size_t pool, std::chrono::milliseconds ttl,
                                  std::chrono::milliseconds wait) {
        if (!connect()) return std::nullopt;
        Holding holding;
        holding.pool = pool;
        holding.ttl = ttl;
        holding.asked = boot_time();
        const auto response = exchange(pools_[pool].borrow_request(seconds(ttl), seconds(wait)));
        holding.answered = boot_time();
        if (!response) {
            ++tally.unknown_borrows;
            return std::nullopt;
        }
        if (response->status != 200) {
            ++tally.refused;
            return std::nullopt;
        }
        const Slot slot = granted(*response);
        holding.position = slot.position;
        holding.lease = slot.lease;
        return holding;
    }

    void hang_up(std::size_t pool, std::chrono::milliseconds ttl) {
        try {
            RawClient client(port_);
            client.send(pools_[pool].borrow_request(seconds(ttl), 1));
            if (dice_.chance(0.5)) pause(dice_.time(0, 20));
            dice_.chance(0.5) ? client.close() : client.abort();
            ++tally.hang_ups;
        } catch (const std::exception&) {
            pause(5ms);
        }
    }

    int port_;
    const std::vector<TestPool>& pools_;
    Dice dice_;
    const std::atomic<bool>& over_;
    std::optional<RawClient> connection_;
};

/// The clients at work, each on a thread of its own, until the end of the scope at the latest.
class Crowd {
  public:
    Crowd(int port, const std::vector<TestPool>& pools, unsigned seed) {
        for (unsigned i = 0; i < client_count; ++i)
            clients_.push_back(std::make_unique<Client>(port, pools, seed + i, over_));
        for (const auto& client : clients_)
            threads_.emplace_back([&client] { client->work(); });
    }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;
    ~Crowd() { stop(); }

    void stop() {
        over_ = true;
        for (std::thread& thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }

    std::vector<std::unique_ptr<Client>>& clients() { return clients_; }

  private:
    std::atomic<bool> over_{false};
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("no lease is lost or lent twice, however often semad is killed") {
    const unsigned seed = std::random_device{}();
    CAPTURE(seed);
    Dice dice(seed);
    RunningServer server;
    History history{{1, 2, 5, 8}, {}};
    std::vector<TestPool> pools;
    for (const int count : history.counts)
        pools.emplace_back(server, count);

    Crowd crowd(server.port(), pools, seed + 1);
    std::vector<Moment> kills;
    const Stopwatch watch;
    while (kills.size() < kill_count && watch.elapsed() < longest_run) {
        std::this_thread::sleep_for(std::chrono::microseconds(dice.number(50'000, 900'000)));
        server.kill9();
        kills.push_back(boot_time());
        server.start();
    }
    crowd.stop();

    // Whoever still holds a lease that was never returned tries that now, after one more kill.
    server.kill9();
    server.start();
    const std::atomic<bool> not_over{false};
    Client last(server.port(), pools, seed, not_over);
    int left_over = 0;
    Tally all;
    for (const auto& client : crowd.clients()) {
        for (Holding& holding : client->tally.holdings) {
            if (holding.returns.empty() && boot_time() < holding.certain_until()) {
                last.give_back(holding);
                ++left_over;
            }
            history.holdings.push_back(holding);
        }
        all.unknown_borrows += client->tally.unknown_borrows;
        all.refused += client->tally.refused;
        all.hang_ups += client->tally.hang_ups;
    }

    int returned = 0;
    int unknown_returns = 0;
    int expired = 0;
    int outlived = 0;
    for (const Holding& holding : history.holdings) {
        if (holding.returns.empty()) ++expired;
        for (const ReturnAttempt& attempt : holding.returns) {
            if (attempt.outcome == Outcome::yes) ++returned;
            if (attempt.outcome == Outcome::unknown) ++unknown_returns;
        }
        if (std::any_of(kills.begin(), kills.end(), [&](Moment kill) {
                return holding.certain_from() < kill && kill < holding.certain_until();
            }))
            ++outlived;
    }
    std::cout << kills.size() << " kills, " << history.holdings.size() << " leases (" << outlived
              << " held over a kill, " << expired << " left to expire, " << left_over << " held at the end), "
              << returned << " returned, " << all.refused << " borrows refused, " << all.unknown_borrows
              << " borrows and " << unknown_returns << " returns without an answer, " << all.hang_ups
              << " hang-ups\n";

    const auto found = breaches(history);
    CAPTURE(found);
    CHECK(found.empty());

    // A run in which little happened proves little.
    CHECK(kills.size() >= 20);
    CHECK(history.holdings.size() >= 500);
    CHECK(outlived >= 20);
    CHECK(expired >= 20);
    CHECK(returned >= 300);
    CHECK(all.unknown_borrows >= 20);
    CHECK(unknown_returns >= 5);
    CHECK(all.hang_ups >= 10);
}
