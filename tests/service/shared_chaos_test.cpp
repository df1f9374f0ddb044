#include "tests/service/shared_bench.hpp"

#include <algorithm>
#include <random>
#include <set>

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Calls;
using sema::test::Server;
using sema::test::World;

namespace {

/// Random calls on three servers of one pool, with whatever can go wrong between them and the store.
class Chaos {
  public:
    explicit Chaos(unsigned seed) : random_(seed), world_(2, limits()) {}

    void step() {
        Server& server = *servers_[draw(3)];
        switch (draw(17)) {
            case 0:
            case 1:
            case 2:
                borrow(server, Duration(draw(3) * 2'000'000));
                break;
            case 3:
                borrow_again(server);
                break;
            case 4:
            case 5:
                give_back(server);
                break;
            case 6:
                keep_alive(server);
                break;
            case 7:
                hang_up();
                break;
            case 8:
                world_.memory.leave_commits_unconfirmed(1);
                break;
            case 9:
                world_.memory.fail_commits(1);
                break;
            case 10:
                world_.memory.lose_messages(draw(2) == 0);
                break;
            case 11:
                draw(4) == 0 ? world_.memory.be_away() : world_.memory.heal();
                break;
            case 12:
                world_.memory.before_next_commit([this] { servers_[draw(3)]->service->flush(); });
                break;
            case 13:
                world_.memory.clock().pass(Duration(draw(1'500'000)));
                for (Server* each : servers_)
                    each->service->advance();
                break;
            case 14:
                lose_answer();
                break;
            default:
                server.service->flush();
                break;
        }
        check();
    }

    /// All is well again, and time passes: nobody waits any more, and nothing is held.
    void end() {
        world_.memory.heal();
        world_.memory.lose_messages(false);
        for (int second = 0; second < 120; ++second) {
            world_.pass(1s);
            // Where nobody waits, only a call has the pool's time go on.
            if (second % 30 == 0) world_.a.in_use();
            check();
        }
        for (const Borrow& borrow : borrows_)
            REQUIRE((borrow.left || borrow.call.answered()));
        CHECK(world_.a.in_use() == 0);
        CHECK(world_.memory.record(world_.id).places.empty());
    }

  private:
    struct Borrow {
        Server* server;
        Calls::Call call;
        LeaseId id;
        TimePoint give_up_at;
        /// What it is granted may have been given back by the time that its answer is seen.
        bool may_be_over = false;
        bool left = false;
        bool seen = false;
    };
    struct Holding {
        Position position;
        TimePoint until;
    };

    /// A lease that is wrongly taken for unclaimed is missed before its time.
    static ServiceLimits limits() {
        ServiceLimits limits;
        limits.pool.rejoin = 1s;
        return limits;
    }

    unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }

    void borrow(Server& server, Duration wait) {
        const LeaseId id = LeaseId::random();
        const auto call = draw(2) == 0 ? server.borrow(id, wait, 5s) : server.borrow(5s, wait);
        borrows_.push_back({&server, call, id, world_.memory.clock().now() + wait});
    }
    void borrow_again(Server& server) {
        if (borrows_.empty()) return;
        const LeaseId id = borrows_[draw(static_cast<unsigned>(borrows_.size()))].id;
        const Duration wait(draw(3) * 2'000'000);
        const bool may_be_over = std::any_of(returns_.begin(), returns_.end(), [&](const auto& call) {
            return call.first == id && !call.second.answered();
        });
        borrows_.push_back(
            {&server, server.borrow(id, wait, 5s), id, world_.memory.clock().now() + wait, may_be_over});
    }
    void give_back(Server& server) {
        if (held_.empty()) return;
        auto lease = held_.begin();
        std::advance(lease, draw(static_cast<unsigned>(held_.size())));
        returns_.emplace_back(lease->first, server.give_back(lease->first));
        for (Borrow& borrow : borrows_)
            borrow.may_be_over = borrow.may_be_over || borrow.id == lease->first;
        held_.erase(lease);
    }
    void keep_alive(Server& server) {
        if (held_.empty()) return;
        // Whether it is renewed or not: what is known for sure is the earlier end.
        server.keep_alive(held_.begin()->first, 5s);
    }
    void hang_up() {
        if (borrows_.empty()) return;
        Borrow& borrow = borrows_[draw(static_cast<unsigned>(borrows_.size()))];
        if (!borrow.call.answered() && borrow.server->service->leave(world_.id, borrow.call.ticket))
            borrow.left = true;
    }
    /// An answer that came some time ago turns out not to have arrived.
    void lose_answer() {
        if (lost_.empty()) return;
        const auto lost = lost_.begin() + draw(static_cast<unsigned>(lost_.size()));
        lost->first->lose_answer_of(lost->second);
        lost_.erase(lost);
    }

    void check() {
        const TimePoint now = world_.memory.clock().now();
        std::erase_if(held_, [&](const auto& lease) { return lease.second.until <= now; });
        for (Borrow& borrow : borrows_) {
            if (borrow.seen || !borrow.call.answered()) continue;
            borrow.seen = true;
            const auto* granted = std::get_if<LeaseGranted>(&**borrow.call.answer);
            if (!granted) continue;
            REQUIRE_FALSE(borrow.left);
            const Lease& lease = granted->lease;
            // What it rests on may have ended since it was said, but nobody else may have the slot before.
            // One that was given back may have been asked for again before that.
            if (lease.expires_at <= now || borrow.may_be_over) continue;
            if (draw(4) == 0) {
                lost_.emplace_back(borrow.server, lease);
                continue;
            }
            for (const auto& [id, holding] : held_)
                REQUIRE((id == lease.id || holding.position != lease.position()));
            held_[lease.id] = {lease.position(), lease.expires_at};
            REQUIRE(held_.size() <= 2);
        }
        std::set<Position> taken;
        for (const HeldSlot& slot : world_.memory.record(world_.id).slots) {
            if (slot.expires_at > now) REQUIRE(taken.insert(slot.position).second);
        }
        // Who holds a slot by what it was told has it in the store.
        for (const auto& [id, holding] : held_)
            REQUIRE(taken.contains(holding.position));
    }

    std::mt19937 random_;
    World world_;
    std::vector<Server*> servers_{&world_.a, &world_.b, &world_.c};
    std::vector<Borrow> borrows_;
    std::map<LeaseId, Holding> held_;
    std::vector<std::pair<LeaseId, Calls::Call>> returns_;
    std::vector<std::pair<Server*, Lease>> lost_;
};

}  // namespace

TEST_CASE("whatever happens between three servers and their store, no slot is lent twice or lost") {
    const unsigned first = std::random_device()();
    for (unsigned seed = first; seed < first + 30; ++seed) {
        CAPTURE(seed);
        Chaos chaos(seed);
        for (int i = 0; i < 400; ++i)
            chaos.step();
        chaos.end();
    }
}
