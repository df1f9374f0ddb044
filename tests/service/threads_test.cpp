#include "server/service/service.hpp"
#include "server/store/memory/memory_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/faulty_store.hpp"

#include <condition_variable>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;
using namespace sema;

namespace {

/// Waits for one answer.
class Waiting {
  public:
    Reply reply() {
        return [state = state_](const Answer& answer) {
            const std::lock_guard lock(state->mutex);
            state->answer = answer;
            state->given.notify_one();
        };
    }
    // Catch2's assertions are for one thread at a time: a lost answer ends the program instead.
    Answer get(Service& service) {
        while (service.settle()) {
        }
        std::unique_lock lock(state_->mutex);
        if (!state_->given.wait_for(lock, 20s, [&] { return state_->answer.has_value(); }))
            throw std::runtime_error("no answer within 20 seconds");
        return *state_->answer;
    }

  private:
    struct State {
        std::mutex mutex;
        std::condition_variable given;
        std::optional<Answer> answer;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace

TEST_CASE("many borrowers at once never hold a position twice, and all are served") {
    constexpr unsigned slots = 3;
    constexpr int borrowers = 8;
    constexpr int rounds = 200;
    const auto faults = std::make_shared<test::StoreFaults>();
    const auto store = test::make_faulty_store(make_memory_store(), faults);
    SystemClock clock(std::nullopt);
    Service service(*store, clock, {});
    service.start();
    const PoolId pool = PoolId::random();
    Waiting made;
    service.put(pool, {slots}, made.reply());
    made.get(service);

    std::array<std::atomic<int>, slots> holders{};
    std::atomic<int> clashes = 0;
    std::atomic<int> served = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < borrowers; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < rounds; ++round) {
                Waiting borrowed;
                service.borrow(pool, service.next_ticket(), {60s, 60s}, borrowed.reply());
                const Answer answer = borrowed.get(service);
                const auto* lease = std::get_if<LeaseGranted>(&answer);
                if (!lease) continue;
                if (++holders.at(lease->lease.position()) != 1) ++clashes;
                ++served;
                --holders.at(lease->lease.position());
                Waiting returned;
                service.give_back(pool, lease->lease.id, returned.reply());
                returned.get(service);
            }
        });
    }
    for (auto& thread : threads)
        thread.join();
    service.stop();
    CHECK(clashes == 0);
    CHECK(served == borrowers * rounds);
}

TEST_CASE("a failing store never leads to two holders, a lost answer or a leaked waiter") {
    const auto faults = std::make_shared<test::StoreFaults>();
    const auto store = test::make_faulty_store(make_memory_store(), faults);
    SystemClock clock(std::nullopt);
    Service service(*store, clock, {});
    service.start();
    const PoolId pool = PoolId::random();
    Waiting made;
    service.put(pool, {2}, made.reply());
    made.get(service);

    std::array<std::atomic<int>, 2> holders{};
    std::atomic<int> clashes = 0;
    std::atomic<int> served = 0;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 6; ++i) {
        threads.emplace_back([&, i] {
            std::mt19937 random(i);
            for (int round = 0; round < 150; ++round) {
                if (random() % 8 == 0) faults->fail_commits(1);
                Waiting borrowed;
                const Ticket ticket = service.next_ticket();
                service.borrow(pool, ticket, {60s, 2s}, borrowed.reply());
                if (random() % 6 == 0 && service.leave(pool, ticket)) continue;
                const Answer answer = borrowed.get(service);
                const auto* lease = std::get_if<LeaseGranted>(&answer);
                if (!lease) continue;
                if (++holders.at(lease->lease.position()) != 1) ++clashes;
                ++served;
                --holders.at(lease->lease.position());
                for (bool done = false; !done;) {
                    Waiting returned;
                    service.give_back(pool, lease->lease.id, returned.reply());
                    done = std::holds_alternative<LeaseReturned>(returned.get(service));
                }
            }
        });
    }
    for (auto& thread : threads)
        thread.join();
    faults->heal();
    Waiting look;
    service.inspect(pool, look.reply());
    CHECK(std::get<PoolCounts>(look.get(service)).in_use == 0);
    CHECK(clashes == 0);
    CHECK(served > 0);
    service.stop();
}

TEST_CASE(
    "who repeats its calls over a failing store gets one lease each time, and who watches sees the end") {
    constexpr unsigned slots = 2;
    constexpr unsigned borrowers = 6;
    constexpr int rounds = 60;
    const auto faults = std::make_shared<test::StoreFaults>();
    const auto store = test::make_faulty_store(make_memory_store(), faults);
    SystemClock clock(std::nullopt);
    Service service(*store, clock, {});
    service.start();
    const PoolId pool = PoolId::random();
    Waiting made;
    service.put(pool, {slots}, made.reply());
    made.get(service);

    struct Shown {
        std::mutex mutex;
        std::shared_ptr<const PoolView> latest;
        bool ended = false;
    };
    const auto shown = std::make_shared<Shown>();
    const Ticket watcher = service.next_ticket();
    service.watch(pool, watcher, [shown](const Answer& answer) {
        const std::lock_guard lock(shown->mutex);
        if (const auto* view = std::get_if<std::shared_ptr<const PoolView>>(&answer)) {
            if (!shown->latest || (*view)->revision >= shown->latest->revision) shown->latest = *view;
        } else if (std::get<Refusal>(answer) != Refusal::store_failed) {
            shown->ended = true;
        }
    });

    std::array<std::atomic<int>, slots> holders{};
    std::atomic<int> clashes = 0;
    std::atomic<unsigned> served = 0;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < borrowers; ++i) {
        threads.emplace_back([&, i] {
            std::mt19937 random(i);
            for (int round = 0; round < rounds; ++round) {
                const LeaseId id = LeaseId::random();
                for (bool done = false; !done;) {
                    if (random() % 8 == 0) faults->fail_commits(1);
                    if (random() % 8 == 0) faults->leave_commits_unconfirmed(1);
                    Waiting borrowed;
                    const Ticket ticket = service.next_ticket();
                    service.borrow(pool, ticket, {60s, 2s, id, 1, 0, nullptr, true}, borrowed.reply());
                    // Gone, and back at once.
                    if (random() % 4 == 0 && service.leave(pool, ticket)) continue;
                    const Answer answer = borrowed.get(service);
                    const auto* granted = std::get_if<LeaseGranted>(&answer);
                    if (!granted) continue;
                    const Position position = granted->lease.position();
                    if (++holders.at(position) != 1) ++clashes;
                    ++served;
                    --holders.at(position);
                    while (!done) {
                        Waiting returned;
                        service.give_back(pool, id, returned.reply());
                        done = std::holds_alternative<LeaseReturned>(returned.get(service));
                    }
                }
            }
        });
    }
    for (auto& thread : threads)
        thread.join();
    faults->heal();
    Waiting look;
    service.inspect(pool, look.reply());
    CHECK(std::get<PoolCounts>(look.get(service)).in_use == 0);
    CHECK(clashes == 0);
    CHECK(served == borrowers * rounds);
    CHECK(test::eventually([&] {
        const std::lock_guard lock(shown->mutex);
        return shown->latest && shown->latest->in_use == 0 && shown->latest->queue.empty();
    }));
    CHECK_FALSE(shown->ended);
    CHECK(service.leave(pool, watcher));
    service.stop();
}

TEST_CASE("an expiry wakes the waiter by itself") {
    const auto store = make_memory_store();
    SystemClock clock(std::nullopt);
    Service service(*store, clock, {});
    service.start();
    const PoolId pool = PoolId::random();
    Waiting made;
    Waiting held;
    Waiting next;
    service.put(pool, {1}, made.reply());
    service.borrow(pool, service.next_ticket(), {50ms, 0s}, held.reply());
    service.borrow(pool, service.next_ticket(), {60s, 10s}, next.reply());
    const Lease first = std::get<LeaseGranted>(held.get(service)).lease;
    const Lease second = std::get<LeaseGranted>(next.get(service)).lease;
    CHECK(second.granted_at >= first.expires_at);
    service.stop();
}
