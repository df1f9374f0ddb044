#include "tests/pool/plain_pool.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>

using namespace std::chrono_literals;
using namespace sema;
using sema::test::PlainPool;

namespace {

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
    for (const auto& [position, slot] : changes.out) {
        record.out.erase(position);
        if (slot) record.out.emplace(position, *slot);
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
        model_.to_call.clear();
        model_.lapsed = 0;
        before_ = pool_->view(now_);
        most_ = pool_->count();
        act();
        check();
    }

  private:
    using Call = void (Run::*)();

    void act() {
        static constexpr std::pair<int, Call> calls[] = {
            {30, &Run::borrow},       {14, &Run::give_back},    {2, &Run::revoke},
            {8, &Run::keep_alive},    {6, &Run::undelivered},   {4, &Run::set_count},
            {3, &Run::set},           {8, &Run::leave},         {4, &Run::cancel},
            {10, &Run::advance},      {8, &Run::commit},        {3, &Run::roll_back},
            {1, &Run::restart},       {1, &Run::send_away},     {1, &Run::make_again},
            {4, &Run::take_out},      {3, &Run::put_back},      {14, &Run::ask_for_call},
            {6, &Run::call_accepted}, {3, &Run::call_given_up}, {6, &Run::put_off},
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
    /// A borrower who is to be called.
    void ask_for_call() {
        const Claim claim{.lease = pick(3) == 0 ? LeaseId::random() : any_of(chosen_),
                          .ttl = up_to(5000ms),
                          .give_up_at = now_ + up_to(8000ms),
                          .chosen = true,
                          .slots = pick(3) == 0 ? 1 + pick(4) : 1,
                          .priority = static_cast<int>(pick(10) / 4) - 1,
                          .callback = std::make_shared<const CallbackText>("{}")};
        const auto borrowed = pool_->borrow(now_, claim, *effects_);
        std::size_t rank = 0;
        const auto expected = model_.borrow(now_, claim, rank);
        REQUIRE(borrowed.index() == static_cast<std::size_t>(expected));
    }
    /// That of a lease, mostly, or one that is none.
    Pool::Grant some_grant() {
        std::vector<Pool::Grant> grants;
        for (const auto& lease : model_.held) {
            if (lease.callback) grants.push_back({lease.id, lease.fence});
        }
        if (!grants.empty() && pick(4) != 0) return any_of(grants);
        const LeaseId lease = some_lease();
        return {lease, pick(1000)};
    }
    void call_accepted() {
        const auto grant = some_grant();
        const bool is_told = pool_->call_accepted(now_, grant, *effects_);
        REQUIRE(is_told == model_.call_accepted(now_, grant));
        REQUIRE(pool_->to_call(grant) == nullptr);
    }
    void call_given_up() {
        const auto grant = some_grant();
        const bool has_ended = pool_->call_given_up(now_, grant, *effects_);
        REQUIRE(has_ended == model_.call_given_up(now_, grant));
        REQUIRE(pool_->to_call(grant) == nullptr);
    }
    void put_off() {
        const auto grant = some_grant();
        const Lease* const lease = pool_->to_call(grant);
        const unsigned attempts = pick(5);
        Delivery next;
        next.callback = lease ? lease->delivery->callback : std::make_shared<const CallbackText>("{}");
        next.attempts = attempts;
        const bool is_put_off = pool_->put_off(now_, grant, next, *effects_);
        REQUIRE(is_put_off == model_.put_off(now_, grant, attempts));
    }
    void give_back() {
        const LeaseId lease = some_lease();
        const auto fence = some_fence();
        REQUIRE(pool_->give_back(now_, lease, *effects_, fence) == model_.give_back(now_, lease, fence));
    }
    // That of a live lease, mostly; or none.
    std::optional<std::uint64_t> some_fence() {
        if (pick(2) == 0) return std::nullopt;
        return model_.held.empty() || pick(4) == 0 ? pick(1000) : any_of(model_.held).fence;
    }
    void revoke() {
        const Position position = pick(8);
        const auto fence = some_fence();
        REQUIRE(pool_->revoke(now_, position, fence, *effects_) == model_.revoke(now_, position, fence));
    }
    void take_out() {
        const Position position = pick(8);
        std::optional<std::string> reason;
        if (pick(2) == 0) reason = std::string(pick(3), 'x');
        REQUIRE(pool_->take_out(now_, position, reason, *effects_) ==
                model_.take_out(now_, position, reason));
    }
    void put_back() {
        const bool any = model_.out.empty() || pick(4) == 0;
        const Position position = any ? pick(8) : model_.out.begin()->first;
        REQUIRE(pool_->put_back(now_, position, *effects_) == model_.put_back(now_, position));
    }
    void keep_alive() {
        const LeaseId lease = some_lease();
        const Duration ttl = up_to(5000ms);
        const auto fence = some_fence();
        const auto kept = pool_->keep_alive(now_, lease, ttl, *effects_, fence);
        REQUIRE(kept.index() == model_.keep_alive(now_, lease, ttl, fence));
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
        const unsigned what = pick(5);
        if (what == 0) settings.name = std::string(1, static_cast<char>('a' + pick(26)));
        if (what == 1) settings.renewable = !settings.renewable;
        if (what == 2) settings.pick = settings.pick == Pick::lowest ? Pick::idle : Pick::lowest;
        if (what >= 3) settings.cooldown = pick(2) == 0 ? 0ms : up_to(2000ms);
        const unsigned count = pick(2) == 0 ? model_.count : pick(8);
        pool_->set(now_, count, settings, *effects_);
        model_.advance_to(now_);
        model_.count = count;
        model_.set(settings);
        model_.advance_to(now_);
    }
    void leave() {
        REQUIRE_FALSE(pool_->leave(now_, Ticket{tickets_ + 1000}, changes_));
        const auto waiter = model_.queue.empty()
                                ? model_.queue.end()
                                : model_.queue.begin() + pick(static_cast<unsigned>(model_.queue.size()));
        if (waiter != model_.queue.end() && waiter->claim.ticket != Ticket{}) {
            present_.erase(waiter->claim.ticket);
            REQUIRE(pool_->leave(now_, waiter->claim.ticket, changes_) == waiter->is_there());
            if (waiter->is_there()) model_.step_away(waiter, now_);
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
            REQUIRE(nothing.to_call.empty());
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
        is_rolled_back_ = true;
        check_effects();
        is_rolled_back_ = false;
        effects_.emplace(changes_);
        model_.granted.clear();
        model_.to_call.clear();
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
        const auto told = pool_->dissolve(now_, *effects_);
        REQUIRE(told == model_.send_away(now_));
        apply_chosen(*effects_);
        REQUIRE(taken_.empty());
        effects_.emplace(changes_);
        present_.clear();
        make();
        commit();
    }
    void make() {
        model_ = PlainPool(limits_);
        model_.count = pick(6);
        // Deleted and made again in one go.
        const std::uint64_t fence = pool_ ? pool_->fence() : 0;
        changes_ = Changes{.cleared = true};
        pool_.emplace(model_.count, fence, limits_, changes_);
        before_ = pool_->view(now_);
    }

    /// What rests by the rows is what rests.
    void check_rests() {
        std::vector<PlainPool::Resting> rests;
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
            const auto& [ticket, lease, at, waited] = effects_->granted[i];
            REQUIRE(ticket == model_.granted[i].first);
            REQUIRE(lease.id == model_.granted[i].second);
            REQUIRE(at == now_);
            // Nobody who is gone is granted anything.
            REQUIRE(present_.erase(ticket) == 1);
            in_order.push_back(&lease);
        }
        std::vector<LeaseId> to_call;
        for (const Lease& lease : effects_->to_call) {
            REQUIRE(lease.delivery);
            to_call.push_back(lease.id);
            in_order.push_back(&lease);
        }
        if (is_rolled_back_) {
            std::sort(to_call.begin(), to_call.end());
            std::sort(model_.to_call.begin(), model_.to_call.end());
        }
        REQUIRE(to_call == model_.to_call);
        REQUIRE(effects_->lapsed == model_.lapsed);
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
        REQUIRE(pool_->figures(now_).out == model_.count - model_.in_service());
        for (Position position = 0; position < 8; ++position)
            REQUIRE((pool_->out_of_service(position) != nullptr) == (model_.out.count(position) == 1));
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
            REQUIRE((lease.delivery ? lease.delivery->callback : nullptr) == held->callback);
            if (lease.delivery) REQUIRE(lease.delivery->attempts == held->attempts);
            REQUIRE(lease.fence == held->fence);
            REQUIRE(lease.expires_at <= lease.granted_at + limits_.max_hold);
            // One position, one lease, and none on a slot that rests. No grant takes a slot that is out of
            // service.
            for (const Position position : lease.positions) {
                REQUIRE(positions.insert(position).second);
                for (const auto& slot : model_.resting)
                    REQUIRE(slot.position != position);
                const auto out = model_.out.find(position);
                if (out != model_.out.end() && out->second.since < now_) REQUIRE(lease.granted_at < now_);
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
            REQUIRE(waiter.asks_again == expected->asks_again);
            REQUIRE(waiter.deadline == expected->deadline);
            REQUIRE(waiter.queued_at == expected->queued_at);
            REQUIRE(waiter.claim.slots == expected->claim.slots);
            REQUIRE(waiter.claim.priority == expected->claim.priority);
            REQUIRE(waiter.claim.holder == expected->claim.holder);
            REQUIRE(waiter.claim.callback == expected->claim.callback);
            REQUIRE((waiter.away || waiter.claim.ticket == expected->claim.ticket));
            REQUIRE((!last || !(waiter.claim.priority > last->claim.priority)));
            const bool passed_over = waiter.away || waiter.claim.slots > model_.in_service();
            if (!passed_over && !first_in_turn) first_in_turn = &waiter;
            last = &waiter;
        }
        // Nobody is kept waiting for what is there.
        if (first_in_turn && !first_in_turn->asks_again) REQUIRE(first_in_turn->claim.slots > view.available);

        REQUIRE(view.out.size() == model_.count - model_.in_service());
        for (const auto& [position, slot] : view.out)
            REQUIRE(slot == model_.out.at(position));

        // Whoever watches is shown all of that.
        REQUIRE(view.revision >= before_.revision);
        if (view.revision == before_.revision) {
            REQUIRE(view.count == before_.count);
            REQUIRE(view.in_use == before_.in_use);
            REQUIRE(view.available == before_.available);
            REQUIRE(view.settings == before_.settings);
            REQUIRE(view.out == before_.out);
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
            if (until) {
                taken_[lease] = *until;
            } else {
                taken_.erase(lease);
            }
        }
    }
    std::map<LeaseId, TimePoint> expected_taken() const {
        std::map<LeaseId, TimePoint> taken;
        for (const auto& lease : model_.held) {
            if (lease.chosen) taken[lease.id] = lease.expires_at;
        }
        for (const auto& waiter : model_.queue) {
            if (waiter.claim.chosen) taken[waiter.claim.lease] = Timeline::never;
        }
        return taken;
    }

    void check_rows() {
        REQUIRE(record_.count == model_.count);
        REQUIRE(record_.out == model_.out);
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
                const bool is_first = position == lease.positions.front();
                REQUIRE(row->holder == (is_first ? lease.holder : nullptr));
                REQUIRE((row->delivery ? row->delivery->callback : nullptr) ==
                        (is_first ? lease.callback : nullptr));
                if (row->delivery) REQUIRE(row->delivery->attempts == lease.attempts);
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
            REQUIRE(row->callback == waiter.claim.callback);
            if (row->callback) {
                REQUIRE(row->deadline == waiter.deadline);
                REQUIRE(row->ttl == waiter.claim.ttl);
            }
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
    PlainPool model_;
    Changes changes_;
    std::optional<Effects> effects_;
    PoolView before_;
    unsigned most_ = 0;
    bool is_rolled_back_ = false;
    std::set<Ticket> present_;
    std::map<LeaseId, TimePoint> taken_;
    std::uint64_t last_fence_ = 0;
    std::uint64_t earlier_fence_ = 0;

    /// What is on stable storage, and the model as it was then.
    PoolRecord record_{1, 0};
    std::optional<PlainPool> stored_;
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
