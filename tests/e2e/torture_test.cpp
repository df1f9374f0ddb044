#include "tests/e2e/history.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

constexpr int client_count = 16;
constexpr int kill_count = 25;
// No more than this is spent on kills, however slow the machine.
constexpr std::chrono::seconds longest_run(60);

// The size of each pool at first; those from `first_resized` on change theirs, up to what `largest` says.
const std::vector<int> counts = {1, 2, 5, 8, 3, 6};
const std::vector<int> largest = {1, 2, 5, 8, 6, 10};
constexpr std::size_t first_resized = 4;

// Shorter than many a lease, so that one which is wrongly taken for unclaimed is missed.
const std::vector<std::string> server_options = {"--rejoin", "500ms"};

double seconds(std::chrono::milliseconds time) {
    return std::chrono::duration<double>(time).count();
}

/// Random numbers whose seed is printed: a test that failed can be run again with much the same load.
class Dice {
  public:
    explicit Dice(unsigned seed) : engine_(seed) {}
    bool chance(double probability) { return std::bernoulli_distribution(probability)(engine_); }
    int number(int from, int to) { return std::uniform_int_distribution<int>(from, to)(engine_); }
    std::chrono::milliseconds time(int from_ms, int to_ms) {
        return std::chrono::milliseconds(number(from_ms, to_ms));
    }
    std::size_t pool() { return static_cast<std::size_t>(number(0, static_cast<int>(counts.size()) - 1)); }

  private:
    std::mt19937 engine_;
};

/// A connection that comes back after each kill, until the test is over.
class Line {
  public:
    Line(int port, const std::atomic<bool>& over) : port_(port), over_(over) {}

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

    /// Time passes; the end of the test is not slept through.
    void pause(std::chrono::milliseconds time) {
        eventually([&] { return over_.load(); }, time);
    }

    bool is_over() const { return over_; }

  private:
    int port_;
    const std::atomic<bool>& over_;
    std::optional<RawClient> connection_;
};

/// What a borrow asks for.
struct Wish {
    std::size_t pool = 0;
    std::chrono::milliseconds ttl{};
    std::chrono::milliseconds wait{};
    int slots = 1;
    /// The lease's id, where the borrower chooses it.
    std::string lease;
    /// Whether it has a field of an extension, so that its answer tells the fence.
    bool is_extended = false;

    bool is_brief() const { return ttl < 1s; }
};

Wish random_wish(Dice& dice) {
    Wish wish;
    wish.pool = dice.pool();
    wish.ttl = dice.chance(0.75) ? dice.time(30, 300) : dice.time(2000, 5000);
    wish.wait = dice.chance(0.3) ? 0ms : dice.time(50, 1000);
    wish.is_extended = dice.chance(0.7);
    if (!wish.is_extended) return wish;
    // A wide one keeps the others waiting for long.
    if (dice.chance(0.2)) wish.slots = std::min(largest[wish.pool], dice.chance(0.9) ? 2 : 5);
    if (dice.chance(0.5)) wish.lease = new_lease();
    return wish;
}

Json fields_of(const Wish& wish) {
    Json fields{{"ttl", seconds(wish.ttl)}, {"wait", seconds(wish.wait)}};
    if (wish.is_extended) fields["slots"] = wish.slots;
    if (!wish.lease.empty()) fields["lease"] = wish.lease;
    return fields;
}

Holding holding_of(const Wish& wish, const HttpResponse& response, Moment asked) {
    Holding holding;
    holding.answered = boot_time();
    holding.asked = asked;
    holding.pool = wish.pool;
    holding.ttl = wish.ttl;
    holding.chosen = !wish.lease.empty();
    const Slot slot = granted(response);
    holding.lease = slot.lease;
    holding.positions = {slot.position};
    if (wish.is_extended) {
        const Grant grant = fully_granted(response);
        holding.positions = grant.positions;
        holding.fence = grant.fence;
    }
    return holding;
}

Outcome outcome_of(const std::optional<HttpResponse>& response, const std::string& key) {
    if (!response || response->status != 200) return Outcome::unknown;
    return Json::parse(response->body).at(key).get<bool>() ? Outcome::yes : Outcome::no;
}

bool is_return(const Attempt& attempt) {
    return attempt.kind == Attempt::Kind::give_back;
}

struct Tally {
    std::vector<Holding> holdings;
    std::vector<Revocation> revocations;
    std::vector<Stray> strays;
    int unknown_borrows = 0;
    int retried_borrows = 0;
    int refused = 0;
    int hang_ups = 0;
};

/// Somebody who borrows, works and returns, over and over, and writes down what came of it.
class Client {
  public:
    Client(int port, const std::vector<TestPool>& pools, unsigned seed, const std::atomic<bool>& over)
        : port_(port), pools_(pools), dice_(seed), line_(port, over) {}

    void work() {
        while (!line_.is_over()) {
            if (dice_.chance(0.1)) {
                revoke();
                continue;
            }
            const Wish wish = random_wish(dice_);
            if (dice_.chance(0.07)) {
                hang_up(wish);
                continue;
            }
            if (auto holding = borrow(wish, boot_time())) use(wish, std::move(*holding));
        }
    }

    /// Tries until an answer comes, and now and then once more.
    void give_back(Holding& holding) {
        Slot slot;
        slot.lease = holding.lease;
        while (line_.connect()) {
            holding.attempts.push_back(
                attempt(pools_[holding.pool].return_request(slot), "returned", Attempt::Kind::give_back));
            if (holding.attempts.back().outcome != Outcome::unknown && !dice_.chance(0.1)) return;
        }
    }

    Tally tally;

  private:
    /// REQUIRES: connect().
    Attempt attempt(const std::string& request, const std::string& key, Attempt::Kind kind) {
        Attempt made;
        made.kind = kind;
        made.asked = boot_time();
        const auto response = line_.exchange(request);
        made.answered = boot_time();
        made.outcome = outcome_of(response, key);
        return made;
    }

    /// Who chose the lease's id asks again where no answer came. `asked` is when it first did.
    std::optional<Holding> borrow(const Wish& wish, Moment asked) {
        while (line_.connect()) {
            const Moment sent = boot_time();
            const auto response = line_.exchange(pools_[wish.pool].borrow_request(fields_of(wish)));
            if (response && response->status == 200) return holding_of(wish, *response, asked);
            if (response) {
                ++tally.refused;
                // Who chose the lease's id has a place for a while.
                if (wish.lease.empty() || dice_.chance(0.7)) return std::nullopt;
            } else if (wish.lease.empty()) {
                ++tally.unknown_borrows;
                return std::nullopt;
            } else {
                ++tally.retried_borrows;
                tally.strays.push_back({wish.pool, wish.lease, sent});
            }
        }
        return std::nullopt;
    }

    void use(const Wish& wish, Holding holding) {
        if (dice_.chance(0.3)) {
            for (int i = dice_.number(1, 3); i > 0; --i)
                keep_alive(holding);
        }
        if (holding.chosen && dice_.chance(0.3)) repeat(wish, holding);
        // Some leases are left to expire, and some outlive a kill or two.
        if (dice_.chance(wish.is_brief() ? 0.8 : 0.95)) {
            const bool is_long_work = !wish.is_brief() && dice_.chance(0.2);
            line_.pause(is_long_work ? dice_.time(300, 1500) : dice_.time(0, 20));
            give_back(holding);
        }
        tally.holdings.push_back(std::move(holding));
    }

    void keep_alive(Holding& holding) {
        if (!line_.connect()) return;
        const auto ttl = dice_.chance(0.5) ? dice_.time(30, 300) : dice_.time(1000, 3000);
        const Json body{{"lease", holding.lease}, {"ttl", seconds(ttl)}};
        Attempt made = attempt(http_request("POST", pools_[holding.pool].path() + "/keepalive", body.dump()),
                               "renewed", Attempt::Kind::keep_alive);
        made.ttl = ttl;
        holding.attempts.push_back(made);
        line_.pause(dice_.time(0, 20));
    }

    /// Asks for what it has. Where its time is over by then it may get something else, and goes on with that.
    void repeat(const Wish& wish, Holding& holding) {
        const Moment asked = boot_time();
        auto again = borrow(wish, asked);
        if (!again) return;
        holding.repeats.push_back({asked, again->answered, again->positions, again->fence.value()});
        if (again->fence == holding.fence) return;
        tally.holdings.push_back(std::exchange(holding, std::move(*again)));
    }

    void revoke() {
        if (!line_.connect()) return;
        Revocation revocation;
        revocation.pool = dice_.pool();
        revocation.position = dice_.number(0, largest[revocation.pool] - 1);
        const Json body{{"position", revocation.position}};
        revocation.asked = boot_time();
        const auto response =
            line_.exchange(http_request("POST", pools_[revocation.pool].path() + "/revoke", body.dump()));
        revocation.answered = boot_time();
        revocation.outcome = outcome_of(response, "revoked");
        tally.revocations.push_back(revocation);
    }

    /// Goes away before the answer. Who chose the lease's id may come back for it.
    void hang_up(const Wish& wish) {
        Moment asked = boot_time();
        try {
            RawClient client(port_);
            asked = boot_time();
            client.send(pools_[wish.pool].borrow_request(fields_of(wish)));
            if (dice_.chance(0.5)) line_.pause(dice_.time(0, 20));
            dice_.chance(0.5) ? client.close() : client.abort();
            ++tally.hang_ups;
        } catch (const std::exception&) {
            line_.pause(5ms);
        }
        if (wish.lease.empty()) return;
        tally.strays.push_back({wish.pool, wish.lease, asked});
        if (dice_.chance(0.5)) return;
        if (auto holding = borrow(wish, asked)) use(wish, std::move(*holding));
    }

    int port_;
    const std::vector<TestPool>& pools_;
    Dice dice_;
    Line line_;
};

/// Changes the size of a pool again and again. Nobody else does.
class Resizer {
  public:
    Resizer(int port, const TestPool& pool, int count, int most, unsigned seed, const std::atomic<bool>& over)
        : spans{{count}}, pool_(pool), most_(most), dice_(seed), line_(port, over) {}

    void work() {
        while (line_.connect()) {
            line_.pause(dice_.time(5, 100));
            if (line_.is_over()) return;
            change();
        }
    }

    std::vector<CountSpan> spans;

  private:
    void change() {
        const int before = spans.back().count;
        const int wanted = dice_.number(1, most_);
        const Json body{{"by", wanted - before}};
        const Moment asked = boot_time();
        auto response = line_.exchange(http_request("POST", pool_.path() + "/resize", body.dump()));
        // Either it was done or it was not.
        while (!response && line_.connect())
            response = line_.exchange(http_request("GET", pool_.path()));
        const bool is_known = response && response->status == 200;
        const int count =
            is_known ? Json::parse(response->body).at("count").get<int>() : std::max(before, wanted);
        spans.back().until = boot_time();
        spans.push_back({count, asked, Moment::max()});
    }

    const TestPool& pool_;
    int most_;
    Dice dice_;
    Line line_;
};

/// The clients at work, each on a thread of its own, until the end of the scope at the latest.
class Crowd {
  public:
    Crowd(int port, const std::vector<TestPool>& pools, unsigned seed) {
        for (unsigned i = 0; i < client_count; ++i)
            clients_.push_back(std::make_unique<Client>(port, pools, seed++, over_));
        for (std::size_t pool = first_resized; pool < pools.size(); ++pool) {
            resizers_.push_back(
                std::make_unique<Resizer>(port, pools[pool], counts[pool], largest[pool], seed++, over_));
        }
        for (const auto& client : clients_)
            threads_.emplace_back([&client] { client->work(); });
        for (const auto& resizer : resizers_)
            threads_.emplace_back([&resizer] { resizer->work(); });
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

    /// What each of them saw. REQUIRES: stop().
    const std::vector<std::unique_ptr<Client>>& clients() const { return clients_; }
    const std::vector<std::unique_ptr<Resizer>>& resizers() const { return resizers_; }

  private:
    std::atomic<bool> over_{false};
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<std::unique_ptr<Resizer>> resizers_;
    std::vector<std::thread> threads_;
};

/// How much of everything happened: a run in which little happened proves little.
struct Summary {
    Summary(const History& history, const std::vector<Moment>& kills) {
        for (const Holding& holding : history.holdings) {
            if (std::none_of(holding.attempts.begin(), holding.attempts.end(), is_return)) ++expired;
            if (holding.positions.size() > 1) ++wide;
            repeated += holding.repeats.size();
            for (const Attempt& attempt : holding.attempts) {
                if (attempt.outcome == Outcome::yes) ++(is_return(attempt) ? returned : renewed);
                if (attempt.outcome == Outcome::unknown) ++unknown_attempts;
            }
            if (std::any_of(kills.begin(), kills.end(), [&](Moment kill) {
                    return holding.certain_from() < kill && kill < holding.certain_until();
                }))
                ++outlived;
        }
        for (const Revocation& revocation : history.revocations) {
            if (revocation.outcome == Outcome::yes) ++revoked;
        }
        for (const auto& spans : history.counts)
            resizes += spans.size() - 1;
    }

    std::size_t wide = 0;
    std::size_t outlived = 0;
    std::size_t expired = 0;
    std::size_t returned = 0;
    std::size_t renewed = 0;
    std::size_t unknown_attempts = 0;
    std::size_t repeated = 0;
    std::size_t revoked = 0;
    std::size_t resizes = 0;
};

}  // namespace

TEST_CASE("no lease is lost or lent twice, however often semad is killed") {
    const unsigned seed = std::random_device{}();
    CAPTURE(seed);
    Dice dice(seed);
    RunningServer server(server_options);
    History history;
    std::vector<TestPool> pools;
    for (const int count : counts) {
        pools.emplace_back(server, count);
        history.counts.push_back({{count}});
    }

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
        const Tally& tally = client->tally;
        for (Holding holding : tally.holdings) {
            const bool is_returned = std::any_of(holding.attempts.begin(), holding.attempts.end(), is_return);
            if (!is_returned && boot_time() < holding.certain_until()) {
                last.give_back(holding);
                ++left_over;
            }
            history.holdings.push_back(std::move(holding));
        }
        history.revocations.insert(history.revocations.end(), tally.revocations.begin(),
                                   tally.revocations.end());
        for (Stray stray : tally.strays) {
            const auto kill = std::upper_bound(kills.begin(), kills.end(), stray.asked);
            if (kill != kills.end()) stray.until = *kill;
            history.strays.push_back(std::move(stray));
        }
        all.unknown_borrows += tally.unknown_borrows;
        all.retried_borrows += tally.retried_borrows;
        all.refused += tally.refused;
        all.hang_ups += tally.hang_ups;
    }
    for (std::size_t i = 0; i < crowd.resizers().size(); ++i)
        history.counts[first_resized + i] = crowd.resizers()[i]->spans;

    const Summary sum(history, kills);
    std::cout << kills.size() << " kills, " << history.holdings.size() << " leases (" << sum.wide
              << " of several slots, " << sum.outlived << " held over a kill, " << sum.expired
              << " left to expire, " << left_over << " held at the end), " << sum.returned << " returned, "
              << sum.renewed << " kept alive, " << sum.revoked << " revoked, " << sum.repeated
              << " asked for again, " << sum.resizes << " resizes, " << all.refused << " borrows refused, "
              << all.retried_borrows << " tried again, " << all.unknown_borrows << " borrows and "
              << sum.unknown_attempts << " returns and keepalives without an answer, " << all.hang_ups
              << " hang-ups\n";

    const auto found = breaches(history);
    const std::string history_file =
        found.empty() ? "" : keep("torture-" + std::to_string(seed) + ".txt", to_text(history));
    CAPTURE(found, history_file);
    CHECK(found.empty());

    CHECK(kills.size() >= 20);
    CHECK(history.holdings.size() >= 500);
    CHECK(sum.wide >= 30);
    CHECK(sum.outlived >= 20);
    CHECK(sum.expired >= 20);
    CHECK(sum.returned >= 300);
    CHECK(sum.renewed >= 100);
    CHECK(sum.revoked >= 20);
    CHECK(sum.repeated >= 30);
    CHECK(sum.resizes >= 50);
    CHECK(sum.unknown_attempts >= 5);
    CHECK(all.unknown_borrows >= 10);
    CHECK(all.retried_borrows >= 10);
    CHECK(all.hang_ups >= 10);
}
