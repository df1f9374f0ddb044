#include "server/pool/pool.hpp"

#include <algorithm>
#include <bit>

namespace sema {
namespace {

constexpr Position bits_per_word = 64;

// Fences are reserved on stable storage in blocks, so that not every grant has to write there. What is left
// of a block when the pool is read anew is skipped. Where other servers change the pool it is read anew all
// the time.
constexpr std::uint64_t fence_block = 1000;
constexpr std::uint64_t shared_fence_block = 1;

// Another server takes its waiters out of the queue itself when they give up. If it has not done so by then,
// it is not about to.
constexpr Duration give_up_grace = std::chrono::seconds(1);

std::optional<TimePoint> earliest(std::optional<TimePoint> a, std::optional<TimePoint> b) {
    if (!a || !b) return a ? a : b;
    return std::min(*a, *b);
}

KeptPlace row_of(const Waiter& waiter) {
    return {
        waiter.claim.lease,  waiter.claim.priority, waiter.place.second,
        waiter.claim.slots,  waiter.queued_at,      waiter.claim.holder,
        waiter.claim.chosen, waiter.server,         waiter.away ? waiter.deadline : waiter.claim.give_up_at};
}

}  // namespace

Pool::Pool(unsigned count, std::uint64_t fence, const PoolLimits& limits, Changes& changes)
    : limits_(&limits),
      count_(count),
      fence_(fence),
      reserved_fence_(fence + (is_shared() ? 0 : fence_block)) {
    changes.count = count_;
    changes.fence = reserved_fence_;
}

Pool::Pool(const PoolRecord& record, TimePoint now, const PoolLimits& limits) : limits_(&limits) {
    Outcome nobody;
    take_rows(record, now, nobody);
    take_kept_places(record, now, nobody);
}

Pool::Borrowed Pool::borrow(TimePoint now, const Claim& claim, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    if (claim.chosen) {
        if (const auto live = leases_.find(claim.lease); live != leases_.end()) {
            tell_again(live->second, changes, outcome);
            return Held{live->second.lease};
        }
        if (queue_.get<ByLease>().count(claim.lease) != 0) return rejoin(now, claim, changes, outcome);
    }
    const Place place{-claim.priority, next_arrival(now)};
    const Waiter* const next = next_in_turn();
    const bool is_next = next == nullptr || place < next->place;
    if (is_next && claim.slots <= available()) return Held{grant(now, claim, changes, outcome)};
    if (claim.give_up_at <= now) {
        if (claim.chosen) outcome.chosen.push_back({claim.lease, TimePoint::min()});
        return Unavailable{queue_.get<ByPlace>().lower_bound_rank(place) + 1};
    }

    const Waiter waiter{claim, place, now, false, claim.give_up_at, limits_->server};
    enqueue(waiter);
    if (has_row(waiter)) changes.places[claim.lease] = row_of(waiter);
    if (claim.chosen) outcome.chosen.push_back({claim.lease, TimePoint::max()});
    return Queued{};
}

/// `claim` comes from the borrower who has a place already.
Pool::Borrowed Pool::rejoin(TimePoint now, const Claim& claim, Changes& changes, Outcome& outcome) {
    const auto waiter = queue_.get<ByLease>().find(claim.lease);
    if (is_here(*waiter)) outcome.superseded.push_back(waiter->claim.ticket);
    queue_.get<ByLease>().modify(waiter, [&](Waiter& it) {
        it.claim.ticket = claim.ticket;
        it.claim.ttl = claim.ttl;
        it.claim.give_up_at = it.deadline = claim.give_up_at;
        it.away = false;
        it.server = limits_->server;
    });
    if (is_shared()) changes.places[claim.lease] = row_of(*waiter);
    serve(now, changes, outcome);
    if (const auto live = leases_.find(claim.lease); live != leases_.end()) {
        std::erase_if(outcome.granted, [&](const auto& granted) { return granted.ticket == claim.ticket; });
        return Held{live->second.lease};
    }
    if (claim.give_up_at > now) return Queued{};
    const std::size_t rank = queue_.get<ByPlace>().rank(queue_.project<ByPlace>(waiter)) + 1;
    step_away(*waiter, now, changes);
    serve(now, changes, outcome);
    return Unavailable{rank};
}

bool Pool::give_back(TimePoint now, const LeaseId& lease, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    const auto live = leases_.find(lease);
    if (live == leases_.end()) return false;
    end(live, now, true, changes, outcome);
    settle(now, changes, outcome);
    return true;
}

bool Pool::revoke(TimePoint now, Position position, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    const auto live = std::find_if(leases_.begin(), leases_.end(), [&](const auto& entry) {
        const Positions& positions = entry.second.lease.positions;
        return std::binary_search(positions.begin(), positions.end(), position);
    });
    return live != leases_.end() && give_back(now, LeaseId(live->first), changes, outcome);
}

Pool::KeptAlive Pool::keep_alive(TimePoint now, const LeaseId& lease, Duration ttl, Changes& changes,
                                 Outcome& outcome) {
    settle(now, changes, outcome);
    const auto live = leases_.find(lease);
    if (live == leases_.end()) return NotHeld{};
    if (settings_ && !settings_->renewable) return NotRenewable{};
    Lease& kept = live->second.lease;
    ++live->second.told;
    live->second.full_end.reset();
    // Another server may have promised more.
    kept.ttl = std::min(ttl, std::max(kept.granted_at + limits_->max_hold, kept.expires_at) - now);
    set_end(live->second, now + kept.ttl, changes, outcome);
    return kept;
}

/// Nothing where the lease of that grant is over.
Pool::Leases::iterator Pool::find(const Grant& grant) {
    const auto live = leases_.find(grant.lease);
    const bool is_it = live != leases_.end() && live->second.lease.fence == grant.fence &&
                       live->second.server == grant.server.value_or(live->second.server);
    return is_it ? live : leases_.end();
}

void Pool::withdraw(TimePoint now, const std::vector<Grant>& grants, Changes& changes, Outcome& outcome) {
    // All of them before anything else is granted: where such a grant was not stored, its fence is given
    // again.
    for (const Grant& grant : grants) {
        const auto live = find(grant);
        if (live == leases_.end() || live->second.full_end) continue;
        // So that it is not done twice, where the store did not tell whether it was done.
        live->second.full_end = live->second.lease.expires_at;
        if (!is_told(live->second, changes)) end(live, now, true, changes, outcome);
    }
    settle(now, changes, outcome);
}

/// Whether somebody knows of the lease, though one answer that told of it is lost.
bool Pool::is_told(Live& live, Changes& changes) const {
    if (live.told > 0) --live.told;
    if (live.told > 0 && is_shared()) write(live, changes);
    return live.told > 0;
}

void Pool::undelivered(TimePoint now, const Grant& grant, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    const auto live = find(grant);
    if (live == leases_.end() || live->second.told == 0 || is_told(live->second, changes)) return;
    if (!live->second.lease.chosen) {
        give_back(now, grant.lease, changes, outcome);
        return;
    }
    const TimePoint full_end = live->second.lease.expires_at;
    live->second.full_end = full_end;
    set_end(live->second, std::min(full_end, now + limits_->rejoin), changes, outcome);
}

void Pool::set_count(TimePoint now, unsigned count, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    if (count == count_) return;
    count_ = count;
    count_busy();
    weigh_waiters();
    changes.count = count;
    ++revision_;
    settle(now, changes, outcome);
}

void Pool::set(TimePoint now, PoolSettings settings, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    if (settings == (settings_ ? *settings_ : PoolSettings())) return;
    if (settings.cooldown != cooldown()) drop_ended_rows(changes);
    settings_ = std::make_shared<const PoolSettings>(std::move(settings));
    changes.settings = settings_;
    ++revision_;
    settle(now, changes, outcome);
}

/// The rows of leases that ended long ago would have their slots rest anew, by another cooldown.
void Pool::drop_ended_rows(Changes& changes) const {
    for (std::size_t word = 0; word < busy_.size(); ++word) {
        for (Position bit = 0; bit < bits_per_word; ++bit) {
            if ((busy_[word] >> bit & 1) == 0)
                changes.slots[static_cast<Position>(word) * bits_per_word + bit] = std::nullopt;
        }
    }
}

void Pool::advance_to(TimePoint now, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
}

const Waiter* Pool::waiter(Ticket ticket) const {
    const auto& tickets = queue_.get<ByTicket>();
    const auto waiter = tickets.find(static_cast<std::uint64_t>(ticket));
    return waiter == tickets.end() ? nullptr : &*waiter;
}

std::optional<Outcome::GaveUp> Pool::place_of(Ticket ticket) const {
    const Waiter* const found = waiter(ticket);
    if (!found) return std::nullopt;
    const auto& places = queue_.get<ByPlace>();
    return Outcome::GaveUp{ticket, places.rank(places.find(found->place)) + 1, found->claim.slots};
}

bool Pool::leave(TimePoint now, Ticket ticket, Changes& changes) {
    const Waiter* const leaving = waiter(ticket);
    if (!leaving || leaving->away) return false;
    step_away(*leaving, now, changes);
    return true;
}

std::optional<Ticket> Pool::cancel(TimePoint now, const LeaseId& lease, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    std::optional<Ticket> ticket;
    const auto& waiters = queue_.get<ByLease>();
    if (const auto waiter = waiters.find(lease); waiter != waiters.end()) {
        ticket = is_here(*waiter) ? waiter->claim.ticket : Ticket{};
        if (waiter->claim.chosen) outcome.chosen.push_back({lease, TimePoint::min()});
        std::optional<KeptPlace> notice;
        if (!waiter->away && !is_here(*waiter)) {
            notice = row_of(*waiter);
            notice->cancelled = true;
        }
        forget(*waiter, changes);
        if (notice) changes.places[lease] = *notice;
    }
    settle(now, changes, outcome);
    return ticket;
}

std::vector<Ticket> Pool::send_away(TimePoint now, Changes& changes) {
    std::vector<Ticket> tickets;
    for (const Waiter& waiter : queue_) {
        if (is_here(waiter)) tickets.push_back(waiter.claim.ticket);
    }
    for (const Ticket ticket : tickets)
        leave(now, ticket, changes);
    return tickets;
}

void Pool::expel(ServerId server, TimePoint now, Changes& changes, Outcome& outcome) {
    std::vector<LeaseId> gone;
    for (const Waiter& waiter : queue_) {
        if (!waiter.away && waiter.server == server) gone.push_back(waiter.claim.lease);
    }
    for (const LeaseId& lease : gone)
        step_away(*queue_.get<ByLease>().find(lease), now, changes);
    servers_.erase(server);
    settle(now, changes, outcome);
}

void Pool::forget_away(std::size_t most, Changes& changes, Outcome& outcome) {
    const auto& turns = queue_.get<ByTurn>();
    for (; most > 0 && !turns.empty() && turns.rbegin()->away; --most) {
        outcome.chosen.push_back({turns.rbegin()->claim.lease, TimePoint::min()});
        forget(*turns.rbegin(), changes);
    }
}

bool Pool::knows(const LeaseId& lease) const {
    return leases_.count(lease) != 0 || queue_.get<ByLease>().count(lease) != 0;
}

std::vector<Ticket> Pool::dissolve(Outcome& outcome) {
    std::vector<Ticket> tickets;
    for (const Waiter& waiter : queue_) {
        if (is_here(waiter)) tickets.push_back(waiter.claim.ticket);
        if (waiter.claim.chosen) outcome.chosen.push_back({waiter.claim.lease, TimePoint::min()});
    }
    for (const auto& [id, live] : leases_) {
        if (live.lease.chosen) outcome.chosen.push_back({id, TimePoint::min()});
    }
    queue_.clear();
    queued_slots_ = 0;
    return tickets;
}

void Pool::clear_leases(Outcome& outcome) {
    for (const auto& [id, live] : leases_) {
        if (live.lease.chosen) outcome.chosen.push_back({id, TimePoint::min()});
    }
    leases_.clear();
    in_use_ = 0;
    ends_.clear();
    resting_.clear();
    busy_.clear();
}

void Pool::restore(const PoolRecord& record, const std::vector<Waiter>& here, TimePoint now, Changes& changes,
                   Outcome& outcome) {
    clear_leases(outcome);
    for (const Waiter& waiter : queue_) {
        if (waiter.claim.chosen) outcome.chosen.push_back({waiter.claim.lease, TimePoint::min()});
    }
    queue_.clear();
    queued_slots_ = 0;
    servers_.clear();
    take_rows(record, now, outcome);

    std::unordered_map<LeaseId, const Waiter*> waiters;
    for (const Waiter& waiter : here)
        waiters.emplace(waiter.claim.lease, &waiter);
    for (const KeptPlace& row : record.places) {
        const auto waiter = waiters.find(row.lease);
        take_place(row, waiter == waiters.end() ? nullptr : waiter->second, now, changes, outcome);
        if (waiter != waiters.end()) waiters.erase(waiter);
    }
    for (const Waiter& waiter : here) {
        if (waiters.count(waiter.claim.lease) == 0) continue;
        Waiter again = waiter;
        while (!enqueue(again))
            ++again.place.second;
        changes.places[again.claim.lease] = row_of(again);
        if (again.claim.chosen) outcome.chosen.push_back({again.claim.lease, TimePoint::max()});
    }
    answer_restored(now, changes, outcome);
    ++revision_;
}

/// `here`: the waiter of this server that had the place, if there is one.
void Pool::take_place(const KeptPlace& row, const Waiter* here, TimePoint now, Changes& changes,
                      Outcome& outcome) {
    next_arrival_ = std::max(next_arrival_, row.arrival + 1);
    const bool is_own = row.server == limits_->server;
    if (row.cancelled) {
        if (here) outcome.cancelled.push_back(here->claim.ticket);
        if (is_own || row.deadline <= now) changes.places[row.lease] = std::nullopt;
        return;
    }
    // Nobody waits there any more: this server has answered it, or somebody else has, before the row was
    // gone.
    if (is_own && !here && !row.chosen) {
        changes.places[row.lease] = std::nullopt;
        return;
    }
    Waiter waiter{
        Claim{Ticket{}, row.lease, {}, row.deadline, row.chosen, row.slots, row.priority, row.holder},
        Place{-row.priority, row.arrival},
        // The other server may have been a little further on.
        std::min(row.queued_at, now), row.server == ServerId{}, row.deadline, row.server};
    if (here && (is_own || waiter.away)) {
        // Where another server took this one for lost, the waiter counts as away.
        waiter.claim.ticket = here->claim.ticket;
        waiter.claim.ttl = here->claim.ttl;
        waiter.claim.give_up_at = waiter.deadline = here->claim.give_up_at;
        waiter.away = false;
        waiter.server = limits_->server;
        if (!is_own) changes.places[row.lease] = row_of(waiter);
    } else if (is_own) {
        waiter.away = true;
        waiter.server = ServerId{};
        waiter.deadline = now + limits_->rejoin;
        changes.places[row.lease] = row_of(waiter);
    } else {
        if (here) outcome.superseded.push_back(here->claim.ticket);
        if (!waiter.away) {
            waiter.deadline += give_up_grace;
            servers_.insert(row.server);
        }
    }
    if (row.chosen) outcome.chosen.push_back({row.lease, TimePoint::max()});
    enqueue(waiter);
}

std::uint64_t Pool::next_arrival(TimePoint now) {
    // Never one that was given before, not even by a server whose waiters have left since.
    if (is_shared())
        next_arrival_ = std::max(next_arrival_, static_cast<std::uint64_t>(now.time_since_epoch().count()));
    return next_arrival_++;
}

void Pool::restore(const PoolRecord& record, TimePoint now, Changes& changes, Outcome& outcome) {
    const Leases before = leases_;
    clear_leases(outcome);
    for (const Waiter& waiter : queue_) {
        if (waiter.claim.chosen) changes.places[waiter.claim.lease] = row_of(waiter);
    }
    for (const KeptPlace& place : record.places) {
        // A borrower may have lost its place since, and got another.
        const auto row = changes.places.find(place.lease);
        if (row != changes.places.end() && row->second->arrival == place.arrival) changes.places.erase(row);
    }
    take_rows(record, now, outcome);
    take_kept_places(record, now, outcome);
    for (auto& [id, live] : leases_) {
        const auto known = before.find(id);
        if (known == before.end() || known->second.lease.fence != live.lease.fence) continue;
        live.told = known->second.told;
        live.full_end = known->second.full_end;
        if (!live.full_end) continue;
        const TimePoint end = live.told == 0 ? known->second.lease.expires_at : *live.full_end;
        if (end != live.lease.expires_at) set_end(live, end, changes, outcome);
    }
    answer_restored(now, changes, outcome);
    ++revision_;
}

/// Somebody may have given back a lease and asked for another with the same id, and the former was not
/// stored.
void Pool::answer_restored(TimePoint now, Changes& changes, Outcome& outcome) {
    for (auto& [id, live] : leases_) {
        const auto& waiters = queue_.get<ByLease>();
        const auto waiter = waiters.find(id);
        if (waiter == waiters.end()) continue;
        if (is_here(*waiter)) {
            tell_again(live, changes, outcome);
            outcome.granted.push_back({waiter->claim.ticket, live.lease, now});
        }
        forget(*waiter, changes);
    }
}

std::optional<TimePoint> Pool::next_deadline() const {
    const Waiter* const first = next_in_turn();
    const bool is_awaited = first != nullptr && is_here(*first);
    std::optional<TimePoint> next = is_awaited ? next_free() : std::nullopt;
    if (!queue_.empty()) next = earliest(next, queue_.get<ByDeadline>().begin()->deadline);
    return next;
}

std::optional<TimePoint> Pool::next_change() const {
    if (queue_.empty()) return next_free();
    return earliest(queue_.get<ByDeadline>().begin()->deadline, next_free());
}

std::optional<TimePoint> Pool::next_free() const {
    std::optional<TimePoint> next;
    if (!ends_.empty()) next = ends_.begin()->first + limits_->clock_error;
    if (!resting_.empty()) next = earliest(next, rested_at(resting_.begin()->first));
    return next;
}

unsigned Pool::available() const {
    const unsigned taken = std::max(in_use_, busy_below_count_);
    return count_ > taken ? count_ - taken : 0;
}

PoolView Pool::view(TimePoint now) const {
    PoolView view{revision_, now, settings_, count_, in_use_, available(), {}, {}, {}};
    view.leases.reserve(leases_.size());
    for (const auto& [id, live] : leases_)
        view.leases.push_back(live.lease);
    std::sort(view.leases.begin(), view.leases.end(),
              [](const Lease& a, const Lease& b) { return a.position() < b.position(); });
    view.queue.assign(queue_.begin(), queue_.end());
    // Those who are away, or want more slots than there are, keep no free slot from a newcomer.
    const bool nobody_is_next = next_in_turn() == nullptr;
    view.eta = eta(forecast(now), nobody_is_next && available() > 0 ? 1 : queue_.size() + 1, 1);
    return view;
}

Forecast Pool::forecast(TimePoint now) const {
    const auto mean = hold_times_.mean();
    std::vector<Duration> ends;
    if (mean) {
        for (const auto& [end, id] : ends_) {
            const Lease& lease = leases_.at(id).lease;
            // One that has lasted longer than most is expected to last longer still.
            const Duration left = std::chrono::abs(*mean - (now - lease.granted_at));
            ends.insert(ends.end(), lease.positions.size(), std::min(left, end - now) + cooldown());
        }
        for (const auto& [ended_at, position] : resting_)
            ends.push_back(rested_at(ended_at) - now);
    }
    return {std::move(ends), count_, mean ? std::optional(*mean + cooldown()) : std::nullopt};
}

std::optional<Duration> Pool::eta(const Forecast& forecast, std::size_t rank, unsigned slots) const {
    if (slots > count_) return std::nullopt;
    const std::uint64_t before = rank - 1;
    return forecast.until((queue_.empty() ? 0 : before * queued_slots_ / queue_.size()) + slots);
}

void Pool::take_rows(const PoolRecord& record, TimePoint now, Outcome& outcome) {
    count_ = record.count;
    settings_ = record.settings;
    // A store that went back to an earlier moment has forgotten some that were given.
    fence_ = reserved_fence_ = std::max(fence_, record.fence);
    for (const HeldSlot& row : record.slots)
        take_slot(row, now);
    count_busy();
    weigh_waiters();
    for (const auto& [id, live] : leases_) {
        if (live.lease.chosen) outcome.chosen.push_back({id, live.lease.expires_at});
    }
}

void Pool::take_kept_places(const PoolRecord& record, TimePoint now, Outcome& outcome) {
    for (const KeptPlace& row : record.places) {
        const Claim claim{Ticket{}, row.lease, {}, now, true, row.slots, row.priority, row.holder};
        const bool is_new = enqueue(
            {claim, {-row.priority, row.arrival}, std::min(row.queued_at, now), true, now + limits_->rejoin});
        if (is_new) outcome.chosen.push_back({row.lease, TimePoint::max()});
        next_arrival_ = std::max(next_arrival_, row.arrival + 1);
    }
}

void Pool::take_slot(const HeldSlot& row, TimePoint now) {
    // The timeline of one server may lose time over a restart; that of a shared store does not, but may be
    // a little further on where the lease was granted than it is here.
    // And what another server has promised is kept, whatever the limit here.
    const TimePoint end = is_shared()
                              ? row.expires_at
                              : std::min({row.expires_at, now + row.ttl, row.granted_at + limits_->max_hold});
    // What was given back is over, whatever the time.
    const bool is_over = row.ttl == Duration::zero() || end + limits_->clock_error <= now;
    if (!is_over) {
        const auto [live, is_first] = leases_.try_emplace(
            row.lease, Live{{row.lease, {}, row.granted_at, end, row.ttl, row.fence, row.chosen, row.holder},
                            is_shared() ? row.told : 1,
                            is_shared() ? row.full_end : std::nullopt,
                            row.server});
        if (is_first) ends_.emplace(end, row.lease);
        live->second.lease.positions.push_back(row.position);
        ++in_use_;
    } else if (rested_at(end) > now) {
        resting_.emplace(end, row.position);
    } else {
        // There is a row all the same.
        return mark(row.position, false);
    }
    mark(row.position, true);
}

void Pool::settle(TimePoint now, Changes& changes, Outcome& outcome) {
    // Waiters give up first: a slot that came free while nobody looked must not go to a waiter whose
    // time has run out meanwhile.
    give_up(now, changes, outcome);
    while (!ends_.empty() && ends_.begin()->first + limits_->clock_error <= now) {
        const auto live = leases_.find(ends_.begin()->second);
        // The row tells by itself that its time has passed.
        end(live, live->second.lease.expires_at, false, changes, outcome);
    }
    while (!resting_.empty() && rested_at(resting_.begin()->first) <= now) {
        mark(resting_.begin()->second, false);
        resting_.erase(resting_.begin());
        ++revision_;
    }
    serve(now, changes, outcome);
}

void Pool::give_up(TimePoint now, Changes& changes, Outcome& outcome) {
    const auto& deadlines = queue_.get<ByDeadline>();
    while (!deadlines.empty() && deadlines.begin()->deadline <= now) {
        const Waiter& waiter = *deadlines.begin();
        if (waiter.away) {
            outcome.chosen.push_back({waiter.claim.lease, TimePoint::min()});
            forget(waiter, changes);
            continue;
        }
        if (is_here(waiter)) outcome.gave_up.push_back(*place_of(waiter.claim.ticket));
        step_away(waiter, now, changes);
    }
}

void Pool::serve(TimePoint now, Changes& changes, Outcome& outcome) {
    for (const Waiter* next = next_in_turn();
         next != nullptr && is_here(*next) && next->claim.slots <= available(); next = next_in_turn()) {
        outcome.granted.push_back({next->claim.ticket, grant(now, next->claim, changes, outcome), now});
        forget(*next, changes);
    }
}

Lease Pool::grant(TimePoint now, const Claim& claim, Changes& changes, Outcome& outcome) {
    if (fence_ == reserved_fence_) {
        reserved_fence_ += is_shared() ? shared_fence_block : fence_block;
        changes.fence = reserved_fence_;
    }
    const Duration ttl = std::min(claim.ttl, limits_->max_hold);
    Lease lease{claim.lease, take_lowest(claim.slots), now, now + ttl, ttl, ++fence_, claim.chosen,
                claim.holder};
    ends_.emplace(lease.expires_at, lease.id);
    in_use_ += claim.slots;
    if (lease.chosen) outcome.chosen.push_back({lease.id, lease.expires_at});
    ++revision_;
    const Live& live = leases_.emplace(lease.id, Live{lease, 1, {}, limits_->server}).first->second;
    write(live, changes);
    return live.lease;
}

void Pool::end(Leases::iterator live, TimePoint ended_at, bool is_written, Changes& changes,
               Outcome& outcome) {
    const Lease& lease = live->second.lease;
    const bool rests = cooldown() > Duration::zero();
    for (const Position position : lease.positions) {
        if (rests) {
            resting_.emplace(ended_at, position);
        } else {
            mark(position, false);
        }
        if (!is_written) continue;
        auto& row = changes.slots[position];
        row.reset();
        if (rests) row = HeldSlot{lease.id, position, lease.granted_at, ended_at, {}, lease.fence, false, {}};
    }
    in_use_ -= static_cast<unsigned>(lease.positions.size());
    hold_times_.add(std::max(ended_at - lease.granted_at, Duration::zero()));
    if (lease.chosen) outcome.chosen.push_back({lease.id, TimePoint::min()});
    ends_.erase({lease.expires_at, lease.id});
    leases_.erase(live);
    ++revision_;
}

void Pool::write(const Live& live, Changes& changes) {
    const Lease& lease = live.lease;
    for (const Position position : lease.positions) {
        changes.slots[position] = HeldSlot{
            lease.id,  position,      lease.granted_at, lease.expires_at,
            lease.ttl, lease.fence,   lease.chosen,     position == lease.position() ? lease.holder : nullptr,
            live.told, live.full_end, live.server};
    }
}

void Pool::set_end(Live& live, TimePoint expires_at, Changes& changes, Outcome& outcome) {
    ends_.erase({live.lease.expires_at, live.lease.id});
    live.lease.expires_at = expires_at;
    ends_.emplace(expires_at, live.lease.id);
    write(live, changes);
    if (live.lease.chosen) outcome.chosen.push_back({live.lease.id, expires_at});
    ++revision_;
}

/// Another answer tells of it.
void Pool::tell_again(Live& live, Changes& changes, Outcome& outcome) {
    if (live.told++ == 0 && live.full_end) {
        set_end(live, *live.full_end, changes, outcome);
    } else if (is_shared()) {
        write(live, changes);
    }
}

bool Pool::enqueue(Waiter waiter) {
    waiter.too_wide = waiter.claim.slots > count_;
    if (!queue_.insert(waiter).second) return false;
    if (!waiter.too_wide) queued_slots_ += waiter.claim.slots;
    ++revision_;
    return true;
}

/// After `count_` has changed.
void Pool::weigh_waiters() {
    for (auto waiter = queue_.begin(); waiter != queue_.end(); ++waiter) {
        const unsigned slots = waiter->claim.slots;
        const bool too_wide = slots > count_;
        if (too_wide == waiter->too_wide) continue;
        queue_.modify(waiter, [too_wide](Waiter& it) { it.too_wide = too_wide; });
        too_wide ? queued_slots_ -= slots : queued_slots_ += slots;
    }
}

/// The one who is served next, once there are slots enough. Null where nobody is there who could be.
const Waiter* Pool::next_in_turn() const {
    const auto& turns = queue_.get<ByTurn>();
    if (turns.empty() || turns.begin()->away || turns.begin()->too_wide) return nullptr;
    return &*turns.begin();
}

/// Takes the waiter out of the queue.
void Pool::forget(const Waiter& waiter, Changes& changes) {
    if (has_row(waiter)) changes.places[waiter.claim.lease] = std::nullopt;
    if (!waiter.too_wide) queued_slots_ -= waiter.claim.slots;
    queue_.erase(queue_.iterator_to(waiter));
    ++revision_;
}

/// The waiter's connection is gone, or its wait is over.
void Pool::step_away(const Waiter& waiter, TimePoint now, Changes& changes) {
    if (!waiter.claim.chosen) return forget(waiter, changes);
    queue_.modify(queue_.iterator_to(waiter), [&](Waiter& it) {
        it.away = true;
        it.deadline = now + limits_->rejoin;
        it.server = ServerId{};
    });
    if (is_shared()) changes.places[waiter.claim.lease] = row_of(waiter);
}

Positions Pool::take_lowest(unsigned slots) {
    Positions positions;
    positions.reserve(slots);
    for (std::size_t word = 0; positions.size() < slots; ++word) {
        if (word == busy_.size()) busy_.push_back(0);
        while (positions.size() < slots && ~busy_[word] != 0) {
            positions.push_back(static_cast<Position>(word * bits_per_word) +
                                static_cast<Position>(std::countr_one(busy_[word])));
            mark(positions.back(), true);
        }
    }
    return positions;
}

void Pool::mark(Position position, bool is_busy) {
    const std::size_t word = position / bits_per_word;
    const std::uint64_t bit = std::uint64_t{1} << (position % bits_per_word);
    if (word >= busy_.size()) busy_.resize(word + 1);
    const bool was_busy = (busy_[word] & bit) != 0;
    if (was_busy == is_busy) return;
    busy_[word] ^= bit;
    if (position < count_) is_busy ? ++busy_below_count_ : --busy_below_count_;
}

void Pool::count_busy() {
    busy_below_count_ = 0;
    for (std::size_t word = 0; word < busy_.size() && word * bits_per_word < count_; ++word) {
        const std::size_t below = std::min<std::size_t>(count_ - word * bits_per_word, bits_per_word);
        const std::uint64_t mask =
            below == bits_per_word ? ~std::uint64_t{0} : (std::uint64_t{1} << below) - 1;
        busy_below_count_ += static_cast<unsigned>(std::popcount(busy_[word] & mask));
    }
}

}  // namespace sema
