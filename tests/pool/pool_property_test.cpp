#include "server/pool/pool.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <random>

using namespace std::chrono_literals;
using namespace sema;

namespace {

/// The rules again, written as plainly as possible: lists searched from end to end, no index, no
/// bookkeeping. Slow, and easily seen to be right.
class Model {
  public:
    struct Waiter {
        Ticket ticket{};
        LeaseId lease;
        Duration ttl{};
        TimePoint give_up_at;
    };

    explicit Model(unsigned slots) : count(slots) {}

    void settle(TimePoint now) {
        granted.clear();
        gave_up.clear();
        resume(now);
    }
    void resume(TimePoint now) {
        std::vector<std::pair<TimePoint, Ticket>> late;
        std::deque<Waiter> still;
        for (const Waiter& waiter : queue) {
            if (waiter.give_up_at <= now) {
                late.emplace_back(waiter.give_up_at, waiter.ticket);
            } else {
                still.push_back(waiter);
            }
        }
        std::stable_sort(late.begin(), late.end(), [](auto& a, auto& b) { return a.first < b.first; });
        for (const auto& [at, ticket] : late)
            gave_up.push_back(ticket);
        queue = still;
        for (auto it = held.begin(); it != held.end();)
            it = it->second.expires_at <= now ? held.erase(it) : ++it;
        while (!queue.empty() && held.size() < count) {
            const Waiter waiter = queue.front();
            queue.pop_front();
            granted.emplace_back(waiter.ticket, grant(now, waiter));
        }
    }
    Position grant(TimePoint now, const Waiter& waiter) {
        Position position = 0;
        while (held.count(position) != 0)
            ++position;
        held[position] = {waiter.lease, position, now, now + waiter.ttl, waiter.ttl};
        return position;
    }

    unsigned count;
    std::map<Position, Lease> held;
    std::deque<Waiter> queue;
    std::vector<std::pair<Ticket, Position>> granted;
    std::vector<Ticket> gave_up;
};

void check_outcome(const Model& model, const Pool& pool, const Outcome& outcome) {
    std::vector<std::pair<Ticket, Position>> granted;
    for (const auto& [ticket, lease] : outcome.granted)
        granted.emplace_back(ticket, lease.position);
    REQUIRE(granted == model.granted);
    REQUIRE(outcome.gave_up == model.gave_up);
    REQUIRE(pool.in_use() == model.held.size());
    REQUIRE(pool.waiting() == model.queue.size());
    REQUIRE(pool.count() == model.count);
    // While anyone waits, no slot is free.
    REQUIRE((pool.waiting() == 0 || pool.available() == 0));
}

/// What a store would hold after these changes.
void apply(const Changes& changes, PoolRecord& record) {
    if (changes.count) record.count = *changes.count;
    for (const auto& [position, lease] : changes.slots) {
        std::erase_if(record.leases, [at = position](const Lease& row) { return row.position == at; });
        if (lease) record.leases.push_back(*lease);
    }
}

void drive(std::uint32_t seed) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    const auto pick = [&](unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random); };

    TimePoint now{1'000'000s};
    const unsigned count = pick(6);
    PoolRecord stored{1, count, {}};
    Pool pool(stored, now);
    Model model(count);
    std::uint64_t tickets = 0;

    for (int step = 0; step < 400; ++step) {
        now += std::chrono::milliseconds(pick(4) == 0 ? pick(3000) : 0);
        Changes changes;
        Outcome outcome;
        model.settle(now);
        switch (pick(9)) {
            case 0:
            case 1:
            case 2: {
                const Model::Waiter waiter{Ticket{++tickets}, LeaseId::random(),
                                           std::chrono::milliseconds(1 + pick(5000)),
                                           now + std::chrono::milliseconds(pick(3) == 0 ? 0 : pick(4000))};
                const auto borrowed = pool.borrow(
                    now, {waiter.ticket, waiter.lease, waiter.ttl, waiter.give_up_at}, changes, outcome);
                if (model.queue.empty() && model.held.size() < model.count) {
                    REQUIRE(std::get<Lease>(borrowed).position == model.grant(now, waiter));
                } else if (waiter.give_up_at <= now) {
                    REQUIRE(std::holds_alternative<Pool::Unavailable>(borrowed));
                } else {
                    REQUIRE(std::holds_alternative<Pool::Queued>(borrowed));
                    model.queue.push_back(waiter);
                }
                break;
            }
            case 3:
            case 4: {
                LeaseId lease = LeaseId::random();
                bool expected = false;
                if (!model.held.empty() && pick(5) != 0) {
                    const auto chosen =
                        std::next(model.held.begin(), pick(static_cast<unsigned>(model.held.size())));
                    lease = chosen->second.id;
                    expected = true;
                    model.held.erase(chosen);
                    model.resume(now);
                }
                REQUIRE(pool.give_back(now, lease, changes, outcome) == expected);
                break;
            }
            case 5:
                model.count = pick(8);
                model.resume(now);
                pool.set_count(now, model.count, changes, outcome);
                break;
            case 6: {
                if (model.queue.empty()) {
                    REQUIRE_FALSE(pool.cancel(Ticket{tickets + 1000}));
                    pool.advance_to(now, changes, outcome);
                    break;
                }
                // Brought up to now first, since leaving does not do that.
                pool.advance_to(now, changes, outcome);
                const auto chosen =
                    std::next(model.queue.begin(), pick(static_cast<unsigned>(model.queue.size())));
                REQUIRE(pool.cancel(chosen->ticket));
                model.queue.erase(chosen);
                break;
            }
            case 7: {
                const auto deadline = pool.next_deadline();
                if (deadline && *deadline > now) {
                    // Nothing happens before it.
                    Outcome nothing;
                    pool.advance_to(*deadline - 1us, changes, nothing);
                    REQUIRE(nothing.granted.empty());
                    REQUIRE(nothing.gave_up.empty());
                    now = *deadline;
                    model.settle(now);
                }
                pool.advance_to(now, changes, outcome);
                break;
            }
            default: {
                // What is stored makes the same pool again, queue aside.
                pool.advance_to(now, changes, outcome);
                apply(changes, stored);
                changes = {};
                const Pool again(stored, now);
                REQUIRE(again.in_use() == pool.in_use());
                REQUIRE(again.count() == pool.count());
                pool.restore(stored, now);
                break;
            }
        }
        apply(changes, stored);
        check_outcome(model, pool, outcome);
    }
}

}  // namespace

TEST_CASE("whatever is done to a pool, it does what the plain rules say") {
    for (std::uint32_t seed = 1; seed <= 500; ++seed)
        drive(seed);
    drive(std::random_device{}());
}
