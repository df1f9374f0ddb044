#pragma once

#include "server/pool/pool.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <map>

namespace sema::test {

/// The rules again, written as plainly as possible: lists searched from end to end, no index, no
/// bookkeeping. Slow, and easily seen to be right.
class PlainPool {
  public:
    struct Held {
        LeaseId id;
        std::vector<Position> positions;
        TimePoint granted_at;
        TimePoint expires_at;
        Duration ttl{};
        bool chosen = false;
        std::shared_ptr<const Holder> holder;
        std::uint64_t fence = 0;
        /// Answers that told of it and may have arrived.
        int told = 1;
        /// When it ends if somebody asks for it again, after all answers were lost.
        std::optional<TimePoint> full_end{};
        /// Whom to call, until that was done.
        std::shared_ptr<const CallbackText> callback{};
        unsigned attempts = 0;

        void tell_again() {
            if (told++ == 0 && full_end) expires_at = *full_end;
        }
    };
    struct Waiting {
        Claim claim;
        std::uint64_t arrival = 0;
        TimePoint queued_at;
        bool away = false;
        TimePoint deadline;
        /// Its call is over; what is held back for it stays so for a moment.
        bool asks_again = false;
        TimePoint call_ended_at{};
        Duration call{};

        bool is_there() const { return !away && !asks_again; }
        bool comes_before(const Waiting& other) const {
            if (claim.priority != other.claim.priority) return claim.priority > other.claim.priority;
            return arrival < other.arrival;
        }
    };
    struct Resting {
        Position position = 0;
        TimePoint since;
    };
    struct Idle {
        Position position = 0;
        TimePoint since;
    };
    struct GaveUp {
        Ticket ticket{};
        std::size_t rank = 0;
        unsigned slots = 1;
    };

    explicit PlainPool(const PoolLimits& with) : limits(with) {}

    unsigned in_use() const {
        unsigned slots = 0;
        for (const Held& lease : held)
            slots += static_cast<unsigned>(lease.positions.size());
        return slots;
    }
    bool is_free(Position position) const {
        for (const Held& lease : held) {
            if (std::count(lease.positions.begin(), lease.positions.end(), position) != 0) return false;
        }
        for (const Resting& slot : resting) {
            if (slot.position == position) return false;
        }
        return out.count(position) == 0;
    }
    /// How many the pool could lend at once, as it is.
    unsigned in_service() const {
        unsigned slots = 0;
        for (Position position = 0; position < count; ++position)
            slots += out.count(position) == 0;
        return slots;
    }
    TimePoint idle_since(Position position) const {
        for (const Idle& slot : idle) {
            if (slot.position == position) return slot.since;
        }
        return Timeline::long_ago;
    }
    unsigned available() const {
        if (in_use() >= count) return 0;
        unsigned free = 0;
        for (Position position = 0; position < count; ++position)
            free += is_free(position);
        return std::min(free, count - in_use());
    }
    std::vector<Held>::iterator find(const LeaseId& id) {
        return std::find_if(held.begin(), held.end(), [&](const Held& lease) { return lease.id == id; });
    }
    std::vector<Waiting>::iterator find_waiting(const LeaseId& id) {
        return std::find_if(queue.begin(), queue.end(),
                            [&](const Waiting& waiter) { return waiter.claim.lease == id; });
    }
    std::size_t rank_of(const Waiting& waiter) const {
        std::size_t rank = 1;
        for (const Waiting& other : queue)
            rank += other.comes_before(waiter);
        return rank;
    }
    /// The first of those who are there.
    std::vector<Waiting>::iterator first_here(unsigned widest) {
        auto first = queue.end();
        for (auto it = queue.begin(); it != queue.end(); ++it) {
            if (it->away || it->claim.slots > widest) continue;
            if (first == queue.end() || it->comes_before(*first)) first = it;
        }
        return first;
    }
    /// The first of those who are there and do not want more than is in service.
    std::vector<Waiting>::iterator next_in_turn() { return first_here(in_service()); }

    void advance_to(TimePoint now) {
        for (;;) {
            auto late = queue.end();
            for (auto it = queue.begin(); it != queue.end(); ++it) {
                if (it->deadline > now) continue;
                if (late == queue.end() || it->deadline < late->deadline ||
                    (it->deadline == late->deadline && it->comes_before(*late)))
                    late = it;
            }
            if (late == queue.end()) break;
            if (late->away || late->claim.callback) {
                lapsed += late->claim.callback ? 1 : 0;
                queue.erase(late);
                continue;
            }
            if (late->asks_again) {
                step_away(late, now);
                continue;
            }
            gave_up.push_back({late->claim.ticket, rank_of(*late), late->claim.slots});
            step_away(late, now);
        }
        for (bool again = true; again;) {
            again = false;
            for (auto it = held.begin(); it != held.end(); ++it) {
                if (it->expires_at > now) continue;
                end(it, it->expires_at);
                again = true;
                break;
            }
        }
        end_rests(now);
        serve(now);
    }
    void end_rests(TimePoint now) {
        std::erase_if(resting, [&](const Resting& slot) {
            if (slot.since + settings.cooldown > now) return false;
            idle.push_back({slot.position, slot.since});
            return true;
        });
    }
    void step_away(std::vector<Waiting>::iterator waiter, TimePoint now) {
        if (!waiter->claim.chosen) {
            queue.erase(waiter);
        } else if (waiter->asks_again) {
            set_away(*waiter, waiter->call_ended_at);
        } else if (waiter->claim.slots > 1 && waiter->deadline <= now &&
                   now < waiter->deadline + to_ask_again(*waiter)) {
            waiter->asks_again = true;
            waiter->call_ended_at = waiter->deadline;
            waiter->deadline += to_ask_again(*waiter);
        } else {
            set_away(*waiter, now);
        }
    }
    void set_away(Waiting& waiter, TimePoint left_at) const {
        waiter.away = true;
        waiter.asks_again = false;
        waiter.deadline = left_at + limits.rejoin;
    }
    void end(std::vector<Held>::iterator lease, TimePoint at) {
        for (const Position position : lease->positions) {
            if (settings.cooldown > Duration::zero()) {
                resting.push_back({position, at});
            } else {
                idle.push_back({position, at});
            }
        }
        held.erase(lease);
    }
    void serve(TimePoint now) {
        for (auto next = next_in_turn();
             next != queue.end() && !next->asks_again && next->claim.slots <= available();
             next = next_in_turn()) {
            const Claim claim = next->claim;
            queue.erase(next);
            const LeaseId lease = grant(now, claim);
            if (claim.callback) {
                to_call.push_back(lease);
            } else {
                granted.emplace_back(claim.ticket, lease);
            }
        }
    }
    LeaseId grant(TimePoint now, const Claim& claim) {
        Held lease{claim.lease,
                   {},
                   now,
                   now + std::min(claim.ttl, limits.max_hold),
                   std::min(claim.ttl, limits.max_hold),
                   claim.chosen,
                   claim.holder};
        while (lease.positions.size() < claim.slots)
            take_one(lease.positions);
        std::sort(lease.positions.begin(), lease.positions.end());
        lease.callback = claim.callback;
        held.push_back(lease);
        return lease.id;
    }
    void take_one(std::vector<Position>& taken) {
        std::optional<Position> best;
        for (Position position = 0; position < count; ++position) {
            if (!is_free(position) || std::count(taken.begin(), taken.end(), position) != 0) continue;
            const bool is_better =
                !best || (settings.pick == Pick::idle && idle_since(position) < idle_since(*best));
            if (is_better) best = position;
        }
        REQUIRE(best);
        taken.push_back(*best);
        std::erase_if(idle, [&](const Idle& slot) { return slot.position == *best; });
    }

    enum class Borrowed { held, queued, unavailable };
    Borrowed borrow(TimePoint now, const Claim& claim, std::size_t& rank) {
        advance_to(now);
        if (claim.chosen) {
            if (const auto lease = find(claim.lease); lease != held.end()) {
                lease->tell_again();
                if (!claim.callback) lease->callback = nullptr;
                return Borrowed::held;
            }
            if (const auto waiter = find_waiting(claim.lease); waiter != queue.end()) {
                if (waiter->is_there() && !waiter->claim.callback) superseded.push_back(waiter->claim.ticket);
                waiter->claim.ticket = claim.ticket;
                waiter->claim.callback = claim.callback;
                waiter->claim.ttl = claim.ttl;
                waiter->deadline = claim.give_up_at;
                waiter->call = claim.give_up_at - now;
                waiter->away = waiter->asks_again = false;
                return wait_or_not(now, claim, IsNew::no, rank);
            }
        }
        queue.push_back({claim, next_arrival++, now, false, claim.give_up_at});
        queue.back().call = claim.give_up_at - now;
        return wait_or_not(now, claim, IsNew::yes, rank);
    }
    enum class IsNew { no, yes };
    Borrowed wait_or_not(TimePoint now, const Claim& claim, IsNew is_new, std::size_t& rank) {
        serve(now);
        if (claim.callback) return Borrowed::queued;
        if (find(claim.lease) != held.end()) {
            std::erase_if(granted, [&](const auto& grant) { return grant.first == claim.ticket; });
            return Borrowed::held;
        }
        if (claim.give_up_at > now) return Borrowed::queued;
        const auto waiter = find_waiting(claim.lease);
        rank = rank_of(*waiter);
        // Nobody has a place who did not wait before.
        if (is_new == IsNew::yes) {
            queue.erase(waiter);
        } else {
            step_away(waiter, now);
        }
        serve(now);
        return Borrowed::unavailable;
    }
    bool give_back(TimePoint now, const LeaseId& id, std::optional<std::uint64_t> fence = {}) {
        advance_to(now);
        const auto lease = find(id);
        if (lease == held.end() || (fence && *fence != lease->fence)) return false;
        end(lease, now);
        advance_to(now);
        return true;
    }
    bool revoke(TimePoint now, Position position, std::optional<std::uint64_t> fence) {
        advance_to(now);
        for (const Held& lease : held) {
            if (std::count(lease.positions.begin(), lease.positions.end(), position) != 0)
                return give_back(now, LeaseId(lease.id), fence);
        }
        return false;
    }
    bool take_out(TimePoint now, Position position, const std::optional<std::string>& reason) {
        advance_to(now);
        if (position >= count && out.count(position) == 0) return false;
        OutOfService& slot = out.try_emplace(position, OutOfService{now, {}}).first->second;
        slot.reason = reason.value_or(slot.reason);
        advance_to(now);
        return true;
    }
    bool put_back(TimePoint now, Position position) {
        advance_to(now);
        const bool was_out = out.erase(position) != 0;
        advance_to(now);
        return was_out || position < count;
    }
    void set(PoolSettings next) {
        // It is not known any more how long slots have been idle.
        if (next.cooldown != settings.cooldown || next.pick != settings.pick) idle.clear();
        settings = next;
    }
    /// How Pool::KeptAlive counts: the lease, not held, not renewable.
    std::size_t keep_alive(TimePoint now, const LeaseId& id, Duration ttl,
                           std::optional<std::uint64_t> fence) {
        advance_to(now);
        const auto lease = find(id);
        if (lease == held.end() || (fence && *fence != lease->fence)) return 1;
        if (!settings.renewable) return 2;
        lease->callback = nullptr;
        lease->expires_at = std::min(now + ttl, lease->granted_at + limits.max_hold);
        lease->ttl = lease->expires_at - now;
        ++lease->told;
        lease->full_end.reset();
        return 0;
    }
    void undelivered(TimePoint now, const Pool::Grant& grant) {
        advance_to(now);
        const auto lease = find(grant.lease);
        if (lease == held.end() || lease->fence != grant.fence || lease->told == 0) return;
        if (--lease->told > 0) return;
        if (lease->chosen) {
            lease->full_end = lease->expires_at;
            lease->expires_at = std::min(lease->expires_at, now + limits.rejoin);
        } else {
            end(lease, now);
            advance_to(now);
        }
    }
    std::optional<Ticket> cancel(TimePoint now, const LeaseId& id) {
        advance_to(now);
        if (const auto lease = find(id); lease != held.end() && lease->callback) {
            end(lease, now);
            advance_to(now);
            return Ticket{};
        }
        const auto waiter = find_waiting(id);
        if (waiter == queue.end()) return std::nullopt;
        const Ticket ticket = waiter->is_there() ? waiter->claim.ticket : Ticket{};
        queue.erase(waiter);
        advance_to(now);
        return ticket;
    }
    std::vector<Ticket> send_away(TimePoint now) {
        std::vector<Ticket> tickets;
        std::vector<Waiting> in_order = queue;
        std::sort(in_order.begin(), in_order.end(),
                  [](const Waiting& a, const Waiting& b) { return a.comes_before(b); });
        for (const Waiting& waiter : in_order) {
            if (!waiter.is_there() || waiter.claim.callback) continue;
            tickets.push_back(waiter.claim.ticket);
            step_away(find_waiting(waiter.claim.lease), now);
        }
        return tickets;
    }
    /// The lease of that grant where its borrower was not called yet.
    std::vector<Held>::iterator find_to_call(const Pool::Grant& grant) {
        const auto lease = find(grant.lease);
        return lease != held.end() && lease->fence == grant.fence && lease->callback ? lease : held.end();
    }
    bool call_accepted(TimePoint now, const Pool::Grant& grant) {
        advance_to(now);
        const auto lease = find_to_call(grant);
        if (lease == held.end()) return false;
        lease->callback = nullptr;
        return true;
    }
    bool call_given_up(TimePoint now, const Pool::Grant& grant) {
        advance_to(now);
        const auto lease = find_to_call(grant);
        if (lease == held.end()) return false;
        end(lease, now);
        advance_to(now);
        return true;
    }
    bool put_off(TimePoint now, const Pool::Grant& grant, unsigned attempts) {
        advance_to(now);
        const auto lease = find_to_call(grant);
        if (lease == held.end()) return false;
        lease->attempts = attempts;
        return true;
    }

    /// All but the queue goes back to `stored`; those who queue stay, and get back what they asked for if it
    /// turns out that they have it.
    void roll_back(const PlainPool& stored, TimePoint now) {
        const std::vector<Held> before = held;
        count = stored.count;
        settings = stored.settings;
        resting = stored.resting;
        idle = stored.idle;
        out = stored.out;
        held = stored.held;
        drop_what_is_over(now);
        for (Held& lease : held) {
            lease.told = 1;
            lease.full_end.reset();
            for (const Held& known : before) {
                if (known.id != lease.id || known.fence != lease.fence) continue;
                lease.told = known.told;
                lease.full_end = known.full_end;
                if (lease.full_end) lease.expires_at = lease.told == 0 ? known.expires_at : *lease.full_end;
            }
        }
        std::erase_if(queue, [](const Waiting& waiter) { return waiter.claim.callback != nullptr; });
        for (const Held& lease : held) {
            if (lease.callback) to_call.push_back(lease.id);
        }
        for (const Waiting& place : stored.queue) {
            if (!place.claim.chosen || find_waiting(place.claim.lease) != queue.end()) continue;
            queue.push_back(place);
            if (place.claim.callback) continue;
            set_away(queue.back(), now);
            queue.back().claim.ticket = Ticket{};
        }
        for (Held& lease : held) {
            const auto waiter = find_waiting(lease.id);
            if (waiter == queue.end()) continue;
            if (waiter->is_there()) {
                lease.tell_again();
                granted.emplace_back(waiter->claim.ticket, lease.id);
            }
            queue.erase(waiter);
        }
    }
    /// A new process: nobody is there.
    void restart(TimePoint now) {
        for (Held& lease : held) {
            lease.told = 1;
            lease.full_end.reset();
        }
        drop_what_is_over(now);
        std::erase_if(queue, [](const Waiting& waiter) { return !waiter.claim.chosen; });
        for (Waiting& waiter : queue) {
            if (waiter.claim.callback) continue;
            set_away(waiter, now);
            waiter.claim.ticket = Ticket{};
        }
    }
    /// As the rows tell by themselves.
    void drop_what_is_over(TimePoint now) {
        for (bool again = true; again;) {
            again = false;
            for (auto it = held.begin(); it != held.end(); ++it) {
                if (it->expires_at > now) continue;
                end(it, it->expires_at);
                again = true;
                break;
            }
        }
        end_rests(now);
    }

    /// When something is to be told or stored that nobody's call brings about.
    std::optional<TimePoint> next_event() {
        std::optional<TimePoint> next;
        const auto at = [&](TimePoint time) { next = next ? std::min(*next, time) : time; };
        for (const Waiting& waiter : queue)
            at(waiter.deadline);
        const auto first = next_in_turn();
        const bool is_awaited = first != queue.end() && !first->asks_again;
        for (const Held& lease : held) {
            if (is_awaited) at(lease.expires_at);
        }
        for (const Resting& slot : resting) {
            if (is_awaited) at(slot.since + settings.cooldown);
        }
        return next;
    }

    Duration to_ask_again(const Waiting& waiter) const {
        return std::min<Duration>({std::chrono::seconds(2), limits.rejoin, waiter.call});
    }

    PoolLimits limits;
    unsigned count = 0;
    PoolSettings settings;
    std::vector<Held> held;
    std::vector<Waiting> queue;
    std::vector<Resting> resting;
    /// In no order. What was never lent is not among them.
    std::vector<Idle> idle;
    std::map<Position, OutOfService> out;
    std::uint64_t next_arrival = 0;

    // What the last call meant for others.
    std::vector<std::pair<Ticket, LeaseId>> granted;
    std::vector<GaveUp> gave_up;
    std::vector<Ticket> superseded;
    std::vector<LeaseId> to_call;
    unsigned lapsed = 0;
};

}  // namespace sema::test
