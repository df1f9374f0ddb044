#include "server/pool/pool.hpp"

#include <algorithm>
#include <utility>

// What borrowers, holders and administrators ask for. What it comes down to is in pool_slots.cpp.
namespace sema {

Pool::Borrowed Pool::borrow(TimePoint now, const Claim& claim, Effects& effects) {
    advance_to(now, effects);
    if (claim.chosen) {
        if (const auto live = leases_.find(claim.lease); live != leases_.end()) {
            count_answer(live->second, effects);
            return Held{live->second.lease};
        }
        if (queue_.get<ByLease>().count(claim.lease) != 0) return rejoin(now, claim, effects);
    }
    const Place place{-claim.priority, next_arrival(now)};
    const Waiter* const next = next_to_serve();
    const bool is_next = next == nullptr || place < next->place;
    if (is_next && claim.slots <= available()) return Held{grant(now, claim, effects)};
    if (claim.give_up_at <= now) {
        if (claim.chosen) effects.chosen.push_back({claim.lease, TimePoint::min()});
        return Unavailable{queue_.get<ByPlace>().lower_bound_rank(place) + 1};
    }

    const Waiter waiter{.claim = claim,
                        .place = place,
                        .queued_at = now,
                        .deadline = claim.give_up_at,
                        .server = limits_->server};
    enqueue(waiter);
    if (has_row(waiter)) effects.changes.places[claim.lease] = row_of(waiter);
    if (claim.chosen) effects.chosen.push_back({claim.lease, TimePoint::max()});
    return Queued{};
}

/// `claim` comes from the borrower who has a place already.
Pool::Borrowed Pool::rejoin(TimePoint now, const Claim& claim, Effects& effects) {
    const auto waiter = queue_.get<ByLease>().find(claim.lease);
    if (is_here(*waiter)) effects.superseded.push_back(waiter->claim.ticket);
    queue_.get<ByLease>().modify(waiter, [&](Waiter& it) {
        it.claim.ticket = claim.ticket;
        it.claim.ttl = claim.ttl;
        it.claim.give_up_at = it.deadline = claim.give_up_at;
        it.away = false;
        it.server = limits_->server;
    });
    if (is_shared()) effects.changes.places[claim.lease] = row_of(*waiter);
    serve(now, effects);
    if (const auto live = leases_.find(claim.lease); live != leases_.end()) {
        std::erase_if(effects.granted, [&](const auto& granted) { return granted.ticket == claim.ticket; });
        return Held{live->second.lease};
    }
    if (claim.give_up_at > now) return Queued{};
    const std::size_t rank = queue_.get<ByPlace>().rank(queue_.project<ByPlace>(waiter)) + 1;
    step_away(*waiter, now, effects.changes);
    serve(now, effects);
    return Unavailable{rank};
}

bool Pool::give_back(TimePoint now, const LeaseId& lease, Effects& effects) {
    advance_to(now, effects);
    const auto live = leases_.find(lease);
    if (live == leases_.end()) return false;
    end(live, now, true, effects);
    advance_to(now, effects);
    return true;
}

bool Pool::revoke(TimePoint now, Position position, Effects& effects) {
    advance_to(now, effects);
    const auto live = std::find_if(leases_.begin(), leases_.end(), [&](const auto& entry) {
        const Positions& positions = entry.second.lease.positions;
        return std::binary_search(positions.begin(), positions.end(), position);
    });
    return live != leases_.end() && give_back(now, LeaseId(live->first), effects);
}

Pool::KeptAlive Pool::keep_alive(TimePoint now, const LeaseId& lease, Duration ttl, Effects& effects) {
    advance_to(now, effects);
    const auto live = leases_.find(lease);
    if (live == leases_.end()) return NotHeld{};
    if (settings_ && !settings_->renewable) return NotRenewable{};
    Lease& kept = live->second.lease;
    ++live->second.answers;
    live->second.full_end.reset();
    // Another server may have promised more.
    kept.ttl = std::min(ttl, std::max(kept.granted_at + limits_->max_hold, kept.expires_at) - now);
    set_end(live->second, now + kept.ttl, effects);
    return kept;
}

/// Nothing where the lease of that grant is over.
Pool::Leases::iterator Pool::find(const Grant& grant) {
    const auto live = leases_.find(grant.lease);
    const bool is_it = live != leases_.end() && live->second.lease.fence == grant.fence &&
                       live->second.server == grant.server.value_or(live->second.server);
    return is_it ? live : leases_.end();
}

void Pool::withdraw(TimePoint now, const std::vector<Grant>& grants, Effects& effects) {
    // All of them before anything else is granted: where such a grant was not stored, its fence is given
    // again.
    for (const Grant& grant : grants) {
        const auto live = find(grant);
        if (live == leases_.end() || live->second.full_end) continue;
        // So that it is not done twice, where the store did not say whether it was done.
        live->second.full_end = live->second.lease.expires_at;
        if (!lose_answer(live->second, effects.changes)) end(live, now, true, effects);
    }
    advance_to(now, effects);
}

void Pool::undelivered(TimePoint now, const Grant& grant, Effects& effects) {
    advance_to(now, effects);
    const auto live = find(grant);
    if (live == leases_.end() || live->second.answers == 0 || lose_answer(live->second, effects.changes))
        return;
    if (!live->second.lease.chosen) {
        give_back(now, grant.lease, effects);
        return;
    }
    const TimePoint full_end = live->second.lease.expires_at;
    live->second.full_end = full_end;
    set_end(live->second, std::min(full_end, now + limits_->rejoin), effects);
}

void Pool::set_count(TimePoint now, unsigned count, Effects& effects) {
    advance_to(now, effects);
    if (take_count(count, effects.changes)) advance_to(now, effects);
}

void Pool::set(TimePoint now, unsigned count, PoolSettings settings, Effects& effects) {
    advance_to(now, effects);
    const bool is_resized = take_count(count, effects.changes);
    const bool is_set = take_settings(std::move(settings), effects.changes);
    if (is_resized || is_set) advance_to(now, effects);
}

/// False where it has that count already. Waiters are not served.
bool Pool::take_count(unsigned count, Changes& changes) {
    if (count == count_) return false;
    count_ = count;
    count_busy();
    weigh_waiters();
    changes.count = count;
    ++revision_;
    return true;
}

/// False where it has these settings already. Waiters are not served.
bool Pool::take_settings(PoolSettings settings, Changes& changes) {
    if (settings == (settings_ ? *settings_ : PoolSettings())) return false;
    if (settings.cooldown != cooldown()) drop_ended_rows(changes);
    settings_ = std::make_shared<const PoolSettings>(std::move(settings));
    changes.settings = settings_;
    ++revision_;
    return true;
}

bool Pool::leave(TimePoint now, Ticket ticket, Changes& changes) {
    const Waiter* const leaving = waiter(ticket);
    if (!leaving || leaving->away) return false;
    step_away(*leaving, now, changes);
    return true;
}

std::optional<Ticket> Pool::cancel(TimePoint now, const LeaseId& lease, Effects& effects) {
    advance_to(now, effects);
    std::optional<Ticket> ticket;
    const auto& waiters = queue_.get<ByLease>();
    if (const auto waiter = waiters.find(lease); waiter != waiters.end()) {
        ticket = is_here(*waiter) ? waiter->claim.ticket : Ticket{};
        if (waiter->claim.chosen) effects.chosen.push_back({lease, TimePoint::min()});
        std::optional<KeptPlace> notice;
        if (!waiter->away && !is_here(*waiter)) {
            notice = row_of(*waiter);
            notice->cancelled = true;
        }
        forget(*waiter, effects.changes);
        if (notice) effects.changes.places[lease] = *notice;
    }
    advance_to(now, effects);
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

void Pool::expel(ServerId server, TimePoint now, Effects& effects) {
    std::vector<LeaseId> gone;
    for (const Waiter& waiter : queue_) {
        if (!waiter.away && waiter.server == server) gone.push_back(waiter.claim.lease);
    }
    for (const LeaseId& lease : gone)
        step_away(*queue_.get<ByLease>().find(lease), now, effects.changes);
    servers_.erase(server);
    advance_to(now, effects);
}

void Pool::forget_away(std::size_t most, Effects& effects) {
    const auto& waiters = queue_.get<ByServing>();
    for (; most > 0 && !waiters.empty() && waiters.rbegin()->away; --most) {
        effects.chosen.push_back({waiters.rbegin()->claim.lease, TimePoint::min()});
        forget(*waiters.rbegin(), effects.changes);
    }
}

std::vector<Ticket> Pool::dissolve(Effects& effects) {
    std::vector<Ticket> tickets;
    for (const Waiter& waiter : queue_) {
        if (is_here(waiter)) tickets.push_back(waiter.claim.ticket);
        if (waiter.claim.chosen) effects.chosen.push_back({waiter.claim.lease, TimePoint::min()});
    }
    for (const auto& [id, live] : leases_) {
        if (live.lease.chosen) effects.chosen.push_back({id, TimePoint::min()});
    }
    queue_.clear();
    queued_slots_ = 0;
    return tickets;
}

}  // namespace sema
