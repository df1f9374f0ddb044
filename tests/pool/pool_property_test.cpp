#include "server/pool/pool.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <random>
#include <set>

using namespace std::chrono_literals;
using namespace sema;

namespace {

/// The rules again, written as plainly as possible: lists searched from end to end, no index, no
/// bookkeeping. Slow, and easily seen to be right.
class Model {
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

        bool comes_before(const Waiting& other) const {
            if (claim.priority != other.claim.priority) return claim.priority > other.claim.priority;
            return arrival < other.arrival;
        }
    };
    struct Resting {
        Position position = 0;
        TimePoint since;
    };
    struct GaveUp {
        Ticket ticket{};
        std::size_t rank = 0;
        unsigned slots = 1;
    };

    explicit Model(const PoolLimits& with) : limits(with) {}

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
        return true;
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
    /// The first of those who are there and do not want more than the pool has.
    std::vector<Waiting>::iterator next_in_turn() { return first_here(count); }

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
            if (late->away) {
                queue.erase(late);
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
        std::erase_if(resting, [&](const Resting& slot) { return slot.since + settings.cooldown <= now; });
        serve(now);
    }
    void step_away(std::vector<Waiting>::iterator waiter, TimePoint now) {
        if (!waiter->claim.chosen) {
            queue.erase(waiter);
        } else {
            waiter->away = true;
            waiter->deadline = now + limits.rejoin;
        }
    }
    void end(std::vector<Held>::iterator lease, TimePoint at) {
        if (settings.cooldown > 0us) {
            for (const Position position : lease->positions)
                resting.push_back({position, at});
        }
        held.erase(lease);
    }
    void serve(TimePoint now) {
        for (auto next = next_in_turn(); next != queue.end() && next->claim.slots <= available();
             next = next_in_turn()) {
            const Claim claim = next->claim;
            queue.erase(next);
            granted.emplace_back(claim.ticket, grant(now, claim));
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
        for (Position position = 0; lease.positions.size() < claim.slots; ++position) {
            if (is_free(position)) lease.positions.push_back(position);
        }
        held.push_back(lease);
        return lease.id;
    }

    enum class Borrowed { held, queued, unavailable };
    Borrowed borrow(TimePoint now, const Claim& claim, std::size_t& rank) {
        advance_to(now);
        if (claim.chosen) {
            if (const auto lease = find(claim.lease); lease != held.end()) {
                lease->tell_again();
                return Borrowed::held;
            }
            if (const auto waiter = find_waiting(claim.lease); waiter != queue.end()) {
                if (!waiter->away) superseded.push_back(waiter->claim.ticket);
                waiter->claim.ticket = claim.ticket;
                waiter->claim.ttl = claim.ttl;
                waiter->deadline = claim.give_up_at;
                waiter->away = false;
                return wait_or_not(now, claim, IsNew::no, rank);
            }
        }
        queue.push_back({claim, next_arrival++, now, false, claim.give_up_at});
        return wait_or_not(now, claim, IsNew::yes, rank);
    }
    enum class IsNew { no, yes };
    Borrowed wait_or_not(TimePoint now, const Claim& claim, IsNew is_new, std::size_t& rank) {
        serve(now);
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
    bool give_back(TimePoint now, const LeaseId& id) {
        advance_to(now);
        const auto lease = find(id);
        if (lease == held.end()) return false;
        end(lease, now);
        advance_to(now);
        return true;
    }
    bool revoke(TimePoint now, Position position) {
        advance_to(now);
        for (const Held& lease : held) {
            if (std::count(lease.positions.begin(), lease.positions.end(), position) != 0)
                return give_back(now, LeaseId(lease.id));
        }
        return false;
    }
    /// How Pool::KeptAlive counts: the lease, not held, not renewable.
    std::size_t keep_alive(TimePoint now, const LeaseId& id, Duration ttl) {
        advance_to(now);
        const auto lease = find(id);
        if (lease == held.end()) return 1;
        if (!settings.renewable) return 2;
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
        const auto waiter = find_waiting(id);
        if (waiter == queue.end()) return std::nullopt;
        const Ticket ticket = waiter->away ? Ticket{} : waiter->claim.ticket;
        queue.erase(waiter);
        advance_to(now);
        return ticket;
    }
    std::vector<Ticket> send_away(TimePoint now) {
        std::vector<Ticket> tickets;
        constexpr unsigned any = std::numeric_limits<unsigned>::max();
        for (auto next = first_here(any); next != queue.end(); next = first_here(any)) {
            tickets.push_back(next->claim.ticket);
            step_away(next, now);
        }
        return tickets;
    }

    /// All but the queue goes back to `stored`; those who queue stay, and get back what they asked for if it
    /// turns out that they have it.
    void roll_back(const Model& stored, TimePoint now) {
        const std::vector<Held> before = held;
        count = stored.count;
        settings = stored.settings;
        resting = stored.resting;
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
        for (const Waiting& place : stored.queue) {
            if (!place.claim.chosen || find_waiting(place.claim.lease) != queue.end()) continue;
            queue.push_back(place);
            queue.back().away = true;
            queue.back().claim.ticket = Ticket{};
            queue.back().deadline = now + limits.rejoin;
        }
        for (Held& lease : held) {
            const auto waiter = find_waiting(lease.id);
            if (waiter == queue.end()) continue;
            if (!waiter->away) {
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
            waiter.away = true;
            waiter.claim.ticket = Ticket{};
            waiter.deadline = now + limits.rejoin;
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
        std::erase_if(resting, [&](const Resting& slot) { return slot.since + settings.cooldown <= now; });
    }

    /// When something is to be told or stored that nobody's call brings about.
    std::optional<TimePoint> next_event() {
        std::optional<TimePoint> next;
        const auto at = [&](TimePoint time) { next = next ? std::min(*next, time) : time; };
        for (const Waiting& waiter : queue)
            at(waiter.deadline);
        const bool is_awaited = next_in_turn() != queue.end();
        for (const Held& lease : held) {
            if (is_awaited) at(lease.expires_at);
        }
        for (const Resting& slot : resting) {
            if (is_awaited) at(slot.since + settings.cooldown);
        }
        return next;
    }

    PoolLimits limits;
    unsigned count = 0;
    PoolSettings settings;
    std::vector<Held> held;
    std::vector<Waiting> queue;
    std::vector<Resting> resting;
    std::uint64_t next_arrival = 0;

    // What the last call meant for others.
    std::vector<std::pair<Ticket, LeaseId>> granted;
    std::vector<GaveUp> gave_up;
    std::vector<Ticket> superseded;
};

/// What a store would hold after these changes.
void apply(const Changes& changes, PoolRecord& record) {
    if (changes.cleared) record = {record.version, 0, record.fence};
    if (changes.count) record.count = *changes.count;
    if (changes.fence) record.fence = *changes.fence;
    if (changes.settings) record.settings = changes.settings;
    for (const auto& [position, slot] : changes.slots) {
        std::erase_if(record.slots, [at = position](const HeldSlot& row) { return row.position == at; });
        if (slot) record.slots.push_back(*slot);
    }
    std::sort(record.slots.begin(), record.slots.end(),
              [](const HeldSlot& a, const HeldSlot& b) { return a.position < b.position; });
    for (const auto& [lease, place] : changes.places) {
        std::erase_if(record.places, [&id = lease](const KeptPlace& row) { return row.lease == id; });
        if (place) record.places.push_back(*place);
    }
}

/// A pool and the model of it, to which the same is done.
class Run {
  public:
    explicit Run(std::uint32_t seed) : random_(seed), model_(limits_) {
        for (LeaseId& id : chosen_)
            id = LeaseId::random();
        make();
        commit();
    }

    void step() {
        now_ += std::chrono::milliseconds(pick(4) == 0 ? pick(1500) : pick(3) == 0 ? 1 : 0);
        effects_.emplace(changes_);
        model_.granted.clear();
        model_.gave_up.clear();
        model_.superseded.clear();
        before_ = pool_->view(now_);
        most_ = pool_->count();
        act();
        check();
    }

  private:
    using Call = void (Run::*)();

    void act() {
        static constexpr std::pair<int, Call> calls[] = {
            {30, &Run::borrow},     {14, &Run::give_back}, {2, &Run::revoke},     {8, &Run::keep_alive},
            {6, &Run::undelivered}, {4, &Run::set_count},  {3, &Run::set},        {8, &Run::leave},
            {4, &Run::cancel},      {10, &Run::advance},   {8, &Run::commit},     {3, &Run::roll_back},
            {1, &Run::restart},     {1, &Run::send_away},  {1, &Run::make_again},
        };
        int sum = 0;
        for (const auto& [weight, call] : calls)
            sum += weight;
        int drawn = static_cast<int>(pick(static_cast<unsigned>(sum)));
        for (const auto& [weight, call] : calls) {
            drawn -= weight;
            if (drawn < 0) return (this->*call)();
        }
    }

    unsigned pick(unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random_); }
    Duration up_to(Duration most) { return 1ms * (1 + pick(static_cast<unsigned>(most / 1ms))); }
    template <class List>
    const auto& any_of(const List& list) {
        return list[pick(static_cast<unsigned>(list.size()))];
    }
    /// A live lease's, mostly.
    LeaseId some_lease() {
        if (model_.held.empty() || pick(6) == 0) return pick(2) == 0 ? any_of(chosen_) : LeaseId::random();
        return any_of(model_.held).id;
    }

    void borrow() {
        const bool chosen = pick(2) == 0;
        const Claim claim{Ticket{++tickets_},
                          chosen ? any_of(chosen_) : LeaseId::random(),
                          up_to(5000ms),
                          now_ + (pick(3) == 0 ? 0ms : up_to(4000ms)),
                          chosen,
                          pick(3) == 0 ? 1 + pick(4) : 1,
                          static_cast<int>(pick(10) / 4) - 1,
                          pick(2) == 0 ? nullptr : std::make_shared<const Holder>(Holder{"somebody", {}})};
        const auto borrowed = pool_->borrow(now_, claim, *effects_);
        std::size_t rank = 0;
        const auto expected = model_.borrow(now_, claim, rank);
        REQUIRE(borrowed.index() == static_cast<std::size_t>(expected));
        if (const auto* held = std::get_if<Pool::Held>(&borrowed)) {
            REQUIRE(held->lease.id == claim.lease);
            take_fence(held->lease);
        } else if (const auto* unavailable = std::get_if<Pool::Unavailable>(&borrowed)) {
            REQUIRE(unavailable->rank == rank);
        } else {
            present_.insert(claim.ticket);
        }
    }
    void give_back() {
        const LeaseId lease = some_lease();
        REQUIRE(pool_->give_back(now_, lease, *effects_) == model_.give_back(now_, lease));
    }
    void revoke() {
        const Position position = pick(8);
        REQUIRE(pool_->revoke(now_, position, *effects_) == model_.revoke(now_, position));
    }
    void keep_alive() {
        const LeaseId lease = some_lease();
        const Duration ttl = up_to(5000ms);
        const auto kept = pool_->keep_alive(now_, lease, ttl, *effects_);
        REQUIRE(kept.index() == model_.keep_alive(now_, lease, ttl));
        if (const auto* renewed = std::get_if<Lease>(&kept))
            REQUIRE(renewed->expires_at == model_.find(lease)->expires_at);
    }
    void undelivered() {
        const LeaseId lease = some_lease();
        const auto held = model_.find(lease);
        // That of the lease, mostly, or of one that had the id before.
        const std::uint64_t fence = held != model_.held.end() && pick(3) != 0 ? held->fence : pick(1000);
        pool_->undelivered(now_, {lease, fence}, *effects_);
        model_.undelivered(now_, {lease, fence});
    }
    void set_count() {
        const unsigned count = pick(8);
        pool_->set_count(now_, count, *effects_);
        model_.advance_to(now_);
        model_.count = count;
        model_.advance_to(now_);
    }
    void set() {
        PoolSettings settings = model_.settings;
        const unsigned what = pick(4);
        if (what == 0) settings.name = std::string(1, static_cast<char>('a' + pick(26)));
        if (what == 1) settings.renewable = !settings.renewable;
        if (what >= 2) settings.cooldown = pick(2) == 0 ? 0ms : up_to(2000ms);
        const unsigned count = pick(2) == 0 ? model_.count : pick(8);
        pool_->set(now_, count, settings, *effects_);
        model_.advance_to(now_);
        model_.count = count;
        model_.settings = settings;
        model_.advance_to(now_);
    }
    void leave() {
        REQUIRE_FALSE(pool_->leave(now_, Ticket{tickets_ + 1000}, changes_));
        const auto waiter = model_.queue.empty()
                                ? model_.queue.end()
                                : model_.queue.begin() + pick(static_cast<unsigned>(model_.queue.size()));
        if (waiter != model_.queue.end() && waiter->claim.ticket != Ticket{}) {
            present_.erase(waiter->claim.ticket);
            REQUIRE(pool_->leave(now_, waiter->claim.ticket, changes_) == !waiter->away);
            if (!waiter->away) model_.step_away(waiter, now_);
        }
        advance_here();
    }
    void cancel() {
        const bool any = model_.queue.empty() || pick(4) == 0;
        const LeaseId lease = any ? any_of(chosen_) : any_of(model_.queue).claim.lease;
        const auto ticket = pool_->cancel(now_, lease, *effects_);
        REQUIRE(ticket == model_.cancel(now_, lease));
        if (ticket) present_.erase(*ticket);
    }
    /// To the next moment at which something happens, and nothing happens before it.
    void advance() {
        const auto deadline = pool_->next_deadline();
        if (deadline && *deadline > now_) {
            Changes none;
            Effects nothing(none);
            pool_->advance_to(*deadline - 1us, nothing);
            REQUIRE(none.empty());
            REQUIRE(nothing.granted.empty());
            REQUIRE(nothing.gave_up.empty());
            model_.advance_to(*deadline - 1us);
            apply_chosen(nothing);
            now_ = *deadline;
        }
        advance_here();
    }
    void advance_here() {
        pool_->advance_to(now_, *effects_);
        model_.advance_to(now_);
    }
    void commit() {
        // Not brought up to now: the rows have to tell it by themselves.
        apply(std::exchange(changes_, {}), record_);
        stored_ = model_;
        stored_fence_ = last_fence_;
        check_rows();
    }
    void roll_back() {
        changes_ = {};
        pool_->roll_back_to(record_, now_, *effects_);
        // What the rows hold was granted earlier, perhaps in this very instant.
        most_ = std::max(most_, pool_->in_use());
        model_.roll_back(*stored_, now_);
        last_fence_ = stored_fence_;
        check_rests();
        apply_chosen(*effects_);
        check_effects();
        effects_.emplace(changes_);
        model_.granted.clear();
        advance_here();
    }
    void restart() {
        commit();
        pool_.emplace(record_, now_, limits_);
        model_.restart(now_);
        present_.clear();
        check_rests();
        taken_ = expected_taken();
        before_ = pool_->view(now_);
        advance_here();
    }
    void send_away() {
        REQUIRE(pool_->send_away(now_, changes_) == model_.send_away(now_));
        present_.clear();
        advance_here();
    }
    /// Deletes the pool and makes one with the same id.
    void make_again() {
        const auto told = pool_->dissolve(*effects_);
        REQUIRE(told == model_.send_away(now_));
        apply_chosen(*effects_);
        REQUIRE(taken_.empty());
        effects_.emplace(changes_);
        present_.clear();
        make();
        commit();
    }
    void make() {
        model_ = Model(limits_);
        model_.count = pick(6);
        // Deleted and made again in one go.
        const std::uint64_t fence = pool_ ? pool_->fence() : 0;
        changes_ = Changes{.cleared = true};
        pool_.emplace(model_.count, fence, limits_, changes_);
        before_ = pool_->view(now_);
    }

    /// What rests by the rows is what rests.
    void check_rests() {
        std::vector<Model::Resting> rests;
        for (const HeldSlot& row : record_.slots) {
            const TimePoint end = std::min(row.expires_at, row.ttl == 0us ? row.expires_at : now_ + row.ttl);
            if (row.ttl > 0us && end > now_) continue;
            if (end + model_.settings.cooldown > now_) rests.push_back({row.position, end});
        }
        for (const auto& slot : model_.resting) {
            REQUIRE(std::count_if(rests.begin(), rests.end(), [&](const auto& row) {
                        return row.position == slot.position && row.since == slot.since;
                    }) == 1);
        }
        REQUIRE(rests.size() == model_.resting.size());
    }

    void take_fence(const Lease& lease) {
        const auto held = model_.find(lease.id);
        REQUIRE(held != model_.held.end());
        if (held->fence != 0) {
            REQUIRE(held->fence == lease.fence);
            return;
        }
        REQUIRE(lease.fence > last_fence_);
        REQUIRE(lease.fence <= pool_->fence());
        held->fence = last_fence_ = lease.fence;
    }

    void check() {
        check_effects();
        check_state();
        check_view();
        check_deadline();
        apply_chosen(*effects_);
        REQUIRE(taken_ == expected_taken());
    }
    void check_effects() {
        REQUIRE(effects_->granted.size() == model_.granted.size());
        std::vector<const Lease*> in_order;
        for (std::size_t i = 0; i < model_.granted.size(); ++i) {
            const auto& [ticket, lease, at] = effects_->granted[i];
            REQUIRE(ticket == model_.granted[i].first);
            REQUIRE(lease.id == model_.granted[i].second);
            REQUIRE(at == now_);
            // Nobody who is gone is granted anything.
            REQUIRE(present_.erase(ticket) == 1);
            in_order.push_back(&lease);
        }
        // A borrow's own grant may be the last of the call, and was looked at before these.
        std::sort(in_order.begin(), in_order.end(),
                  [](const Lease* a, const Lease* b) { return a->fence < b->fence; });
        for (const Lease* lease : in_order) {
            if (const auto held = model_.find(lease->id); held == model_.held.end() || held->fence != 0)
                continue;
            model_.find(lease->id)->fence = lease->fence;
            REQUIRE(lease->fence > earlier_fence_);
            last_fence_ = std::max(last_fence_, lease->fence);
        }
        earlier_fence_ = last_fence_;
        REQUIRE(effects_->gave_up.size() == model_.gave_up.size());
        for (std::size_t i = 0; i < model_.gave_up.size(); ++i) {
            REQUIRE(effects_->gave_up[i].ticket == model_.gave_up[i].ticket);
            REQUIRE(effects_->gave_up[i].rank == model_.gave_up[i].rank);
            REQUIRE(effects_->gave_up[i].slots == model_.gave_up[i].slots);
            REQUIRE(present_.erase(effects_->gave_up[i].ticket) == 1);
        }
        REQUIRE(effects_->superseded == model_.superseded);
        for (const Ticket ticket : effects_->superseded)
            REQUIRE(present_.erase(ticket) == 1);
    }
    void check_state() {
        REQUIRE(pool_->count() == model_.count);
        REQUIRE(pool_->in_use() == model_.in_use());
        REQUIRE(pool_->available() == model_.available());
        REQUIRE(pool_->waiting() == model_.queue.size());
        REQUIRE((pool_->settings() ? *pool_->settings() : PoolSettings()) == model_.settings);
    }
    void check_view() {
        const PoolView view = pool_->view(now_);
        REQUIRE(view.count == model_.count);
        REQUIRE(view.in_use == model_.in_use());
        REQUIRE(view.available == model_.available());

        std::set<Position> positions;
        bool has_grant = false;
        REQUIRE(view.leases.size() == model_.held.size());
        for (const Lease& lease : view.leases) {
            const auto held = model_.find(lease.id);
            REQUIRE(held != model_.held.end());
            REQUIRE(std::equal(lease.positions.begin(), lease.positions.end(), held->positions.begin(),
                               held->positions.end()));
            REQUIRE(lease.granted_at == held->granted_at);
            REQUIRE(lease.expires_at == held->expires_at);
            REQUIRE(lease.ttl == held->ttl);
            REQUIRE(lease.chosen == held->chosen);
            REQUIRE(lease.holder == held->holder);
            REQUIRE(lease.fence == held->fence);
            REQUIRE(lease.expires_at <= lease.granted_at + limits_.max_hold);
            // One position, one lease, and none on a slot that rests.
            for (const Position position : lease.positions) {
                REQUIRE(positions.insert(position).second);
                for (const auto& slot : model_.resting)
                    REQUIRE(slot.position != position);
            }
            const bool is_new = std::none_of(before_.leases.begin(), before_.leases.end(),
                                             [&](const Lease& known) { return known.fence == lease.fence; });
            has_grant = has_grant || (is_new && lease.granted_at == now_);
        }
        if (has_grant) REQUIRE(view.in_use <= std::max(most_, view.count));

        REQUIRE(view.queue.size() == model_.queue.size());
        const Waiter* last = nullptr;
        const Waiter* first_in_turn = nullptr;
        for (const Waiter& waiter : view.queue) {
            const auto expected = model_.find_waiting(waiter.claim.lease);
            REQUIRE(expected != model_.queue.end());
            REQUIRE(waiter.away == expected->away);
            REQUIRE(waiter.deadline == expected->deadline);
            REQUIRE(waiter.queued_at == expected->queued_at);
            REQUIRE(waiter.claim.slots == expected->claim.slots);
            REQUIRE(waiter.claim.priority == expected->claim.priority);
            REQUIRE(waiter.claim.holder == expected->claim.holder);
            REQUIRE((waiter.away || waiter.claim.ticket == expected->claim.ticket));
            REQUIRE((!last || !(waiter.claim.priority > last->claim.priority)));
            const bool passed_over = waiter.away || waiter.claim.slots > view.count;
            if (!passed_over && !first_in_turn) first_in_turn = &waiter;
            last = &waiter;
        }
        // Nobody is kept waiting for what is there.
        if (first_in_turn) REQUIRE(first_in_turn->claim.slots > view.available);

        // Whoever watches is shown all of that.
        REQUIRE(view.revision >= before_.revision);
        if (view.revision == before_.revision) {
            REQUIRE(view.count == before_.count);
            REQUIRE(view.in_use == before_.in_use);
            REQUIRE(view.available == before_.available);
            REQUIRE(view.settings == before_.settings);
            REQUIRE(ends_of(view) == ends_of(before_));
            REQUIRE(queue_of(view) == queue_of(before_));
        }
    }
    static std::map<std::uint64_t, TimePoint> ends_of(const PoolView& view) {
        std::map<std::uint64_t, TimePoint> ends;
        for (const Lease& lease : view.leases)
            ends[lease.fence] = lease.expires_at;
        return ends;
    }
    static std::vector<LeaseId> queue_of(const PoolView& view) {
        std::vector<LeaseId> queue;
        for (const Waiter& waiter : view.queue)
            queue.push_back(waiter.claim.lease);
        return queue;
    }
    void check_deadline() {
        const auto next = model_.next_event();
        if (!next) return;
        REQUIRE(pool_->next_deadline());
        REQUIRE(*pool_->next_deadline() <= *next);
        REQUIRE(*pool_->next_change() <= *next);
    }

    // The ids that borrowers chose, as the service keeps them over all pools.
    void apply_chosen(const Effects& effects) {
        for (const auto& [lease, until] : effects.chosen) {
            if (until == TimePoint::min()) {
                taken_.erase(lease);
            } else {
                taken_[lease] = until;
            }
        }
    }
    std::map<LeaseId, TimePoint> expected_taken() const {
        std::map<LeaseId, TimePoint> taken;
        for (const auto& lease : model_.held) {
            if (lease.chosen) taken[lease.id] = lease.expires_at;
        }
        for (const auto& waiter : model_.queue) {
            if (waiter.claim.chosen) taken[waiter.claim.lease] = TimePoint::max();
        }
        return taken;
    }

    void check_rows() {
        REQUIRE(record_.count == model_.count);
        REQUIRE((record_.settings ? *record_.settings : PoolSettings()) == model_.settings);
        std::size_t slots = 0;
        for (const auto& lease : model_.held) {
            REQUIRE(lease.fence <= record_.fence);
            for (const Position position : lease.positions) {
                const auto row =
                    std::find_if(record_.slots.begin(), record_.slots.end(),
                                 [&](const HeldSlot& slot) { return slot.position == position; });
                REQUIRE(row != record_.slots.end());
                REQUIRE(row->lease == lease.id);
                REQUIRE(row->granted_at == lease.granted_at);
                REQUIRE(row->expires_at == lease.expires_at);
                REQUIRE(row->ttl == lease.ttl);
                REQUIRE(row->fence == lease.fence);
                REQUIRE(row->chosen == lease.chosen);
                REQUIRE(row->holder == (position == lease.positions.front() ? lease.holder : nullptr));
                ++slots;
            }
        }
        for (const HeldSlot& row : record_.slots) {
            if (model_.find(row.lease) == model_.held.end()) REQUIRE(row.expires_at <= now_);
        }
        REQUIRE(slots == model_.in_use());
        std::size_t places = 0;
        for (const auto& waiter : model_.queue) {
            if (!waiter.claim.chosen) continue;
            const auto row =
                std::find_if(record_.places.begin(), record_.places.end(),
                             [&](const KeptPlace& place) { return place.lease == waiter.claim.lease; });
            REQUIRE(row != record_.places.end());
            REQUIRE(row->priority == waiter.claim.priority);
            REQUIRE(row->slots == waiter.claim.slots);
            REQUIRE(row->queued_at == waiter.queued_at);
            REQUIRE(row->holder == waiter.claim.holder);
            ++places;
        }
        REQUIRE(record_.places.size() == places);
    }

    std::mt19937 random_;
    PoolLimits limits_{8s, 1500ms};
    TimePoint now_{1'000'000s};
    std::array<LeaseId, 6> chosen_;
    std::uint64_t tickets_ = 0;

    std::optional<Pool> pool_;
    Model model_;
    Changes changes_;
    std::optional<Effects> effects_;
    PoolView before_;
    unsigned most_ = 0;
    std::set<Ticket> present_;
    std::map<LeaseId, TimePoint> taken_;
    std::uint64_t last_fence_ = 0;
    std::uint64_t earlier_fence_ = 0;

    /// What is on stable storage, and the model as it was then.
    PoolRecord record_{1, 0};
    std::optional<Model> stored_;
    std::uint64_t stored_fence_ = 0;
};

void drive(std::uint32_t seed, int steps) {
    INFO("seed " << seed);
    Run run(seed);
    for (int step = 0; step < steps; ++step) {
        INFO("step " << step);
        run.step();
    }
}

}  // namespace

TEST_CASE("whatever is done to a pool, it does what the plain rules say") {
    for (std::uint32_t seed = 1; seed <= 1000; ++seed)
        drive(seed, 300);
    drive(std::random_device{}(), 300);
}
