#include "server/pool/pool.hpp"

#include <algorithm>
#include <utility>

// What borrowers, holders and administrators ask for. What it comes down to is in pool_slots.cpp.
namespace sema {

HistoryEntry end_of(const Lease& lease, TimePoint ended_at, LeaseEnd how) {
    return {.what = static_cast<HistoryEntry::What>(how),
            .at = ended_at,
            .held = std::max(ended_at - lease.granted_at, Duration::zero()),
            .fence = lease.fence,
            .positions = lease.positions,
            .waited = lease.waited,
            .priority = lease.priority,
            .slots = static_cast<unsigned>(lease.positions.size()),
            .holder = lease.holder};
}

Pool::Borrowed Pool::borrow(TimePoint now, const Claim& claim, Effects& effects) {
    advance_to(now, effects);
    if (claim.chosen) {
        if (const auto live = leases_.find(claim.lease); live != leases_.end()) {
            count_answer(live->second, effects);
            if (!claim.callback) end_delivery(live->second, effects);
            return Held{live->second.lease};
        }
        if (queue_.get<ByLease>().count(claim.lease) != 0) return rejoin(now, claim, effects);
    }
    const Place place{-claim.priority, next_arrival(now)};
    const Waiter* const next = next_to_serve();
    const bool is_next = next == nullptr || place < next->place;
    if (is_next && claim.slots <= available() && !claim.callback)
        return Held{grant(now, claim, now, effects)};
    if (claim.give_up_at <= now) {
        if (claim.chosen) effects.chosen.push_back({claim.lease, std::nullopt});
        effects.past.push_back({.what = HistoryEntry::What::refused,
                                .at = now,
                                .priority = claim.priority,
                                .slots = claim.slots,
                                .holder = claim.holder});
        return Unavailable{queue_.get<ByPlace>().lower_bound_rank(place) + 1};
    }

    const Waiter waiter{.claim = claim,
                        .place = place,
                        .queued_at = now,
                        .call = claim.give_up_at - now,
                        .deadline = claim.give_up_at,
                        .server = claim.callback ? ServerId{} : limits_->server};
    enqueue(waiter);
    if (has_row(waiter)) effects.changes.places[claim.lease] = row_of(waiter);
    if (claim.chosen) effects.chosen.push_back({claim.lease, Timeline::never});
    if (claim.callback) {
        find_keeper(effects.changes);
        serve(now, effects);
    }
    return Queued{};
}

/// `claim` comes from the borrower who has a place already.
Pool::Borrowed Pool::rejoin(TimePoint now, const Claim& claim, Effects& effects) {
    const auto waiter = queue_.get<ByLease>().find(claim.lease);
    if (is_here(*waiter) && waiter->claim.ticket != no_ticket)
        effects.superseded.push_back(waiter->claim.ticket);
    const bool was_to_be_called = waiter->claim.callback != nullptr;
    queue_.get<ByLease>().modify(waiter, [&](Waiter& it) {
        it.claim.ticket = claim.ticket;
        it.claim.ttl = claim.ttl;
        it.claim.give_up_at = it.deadline = claim.give_up_at;
        it.call = claim.give_up_at - now;
        it.claim.callback = claim.callback;
        it.away = it.asks_again = false;
        it.server = claim.callback ? ServerId{} : limits_->server;
    });
    if (claim.callback && !was_to_be_called) ++callbacks_;
    if (!claim.callback && was_to_be_called) --callbacks_;
    if (is_shared() || claim.callback || was_to_be_called)
        effects.changes.places[claim.lease] = row_of(*waiter);
    if (claim.callback) {
        find_keeper(effects.changes);
        serve(now, effects);
        return Queued{};
    }
    drop_keeper(effects.changes);
    serve(now, effects);
    if (const auto live = leases_.find(claim.lease); live != leases_.end()) {
        std::erase_if(effects.granted, [&](const auto& granted) { return granted.ticket == claim.ticket; });
        return Held{live->second.lease};
    }
    if (claim.give_up_at > now) return Queued{};
    const std::size_t rank = queue_.get<ByPlace>().rank(queue_.project<ByPlace>(waiter)) + 1;
    step_away(*waiter, now, effects);
    serve(now, effects);
    return Unavailable{rank};
}

bool Pool::give_back(TimePoint now, const LeaseId& lease, Effects& effects,
                     std::optional<std::uint64_t> fence) {
    advance_to(now, effects);
    return end_early(now, find(lease, fence), LeaseEnd::returned, effects);
}

bool Pool::end_early(TimePoint now, Leases::iterator live, LeaseEnd how, Effects& effects) {
    if (live == leases_.end()) return false;
    end(live, now, how, effects);
    advance_to(now, effects);
    return true;
}

bool Pool::revoke(TimePoint now, Position position, std::optional<std::uint64_t> fence, Effects& effects) {
    advance_to(now, effects);
    const auto live = std::find_if(leases_.begin(), leases_.end(), [&](const auto& entry) {
        const Positions& positions = entry.second.lease.positions;
        return std::binary_search(positions.begin(), positions.end(), position);
    });
    if (live == leases_.end()) return false;
    return end_early(now, find(live->first, fence), LeaseEnd::revoked, effects);
}

bool Pool::take_out(TimePoint now, Position position, const std::optional<std::string>& reason,
                    Effects& effects) {
    advance_to(now, effects);
    const OutOfService* const known = out_of_service(position);
    if (position >= count_ && !known) return false;
    OutOfService next = known ? *known : OutOfService{.since = now};
    if (reason) next.reason = *reason;
    if (known && *known == next) return true;
    effects.changes.out[position] = next;
    out_[position] = std::move(next);
    out_changed();
    // A waiter that wants more slots than are left does not keep others waiting any more.
    advance_to(now, effects);
    return true;
}

bool Pool::put_back(TimePoint now, Position position, Effects& effects) {
    advance_to(now, effects);
    if (!out_of_service(position)) return position < count_;
    out_.erase(position);
    effects.changes.out[position] = std::nullopt;
    out_changed();
    advance_to(now, effects);
    return true;
}

void Pool::out_changed() {
    count_taken();
    weigh_waiters();
    ++revision_;
}

Pool::KeptAlive Pool::keep_alive(TimePoint now, const LeaseId& lease, Duration ttl, Effects& effects,
                                 std::optional<std::uint64_t> fence) {
    advance_to(now, effects);
    const auto live = find(lease, fence);
    if (live == leases_.end()) return NotHeld{};
    if (settings_ && !settings_->renewable) return NotRenewable{};
    // A borrower that renews it knows of it, whatever came of the call.
    end_delivery(live->second, effects);
    Lease& kept = live->second.lease;
    ++live->second.answers;
    live->second.full_end.reset();
    // Another server may have promised more.
    kept.ttl = std::min(ttl, std::max(kept.granted_at + limits_->max_hold, kept.expires_at) - now);
    set_end(live->second, now + kept.ttl, effects);
    return kept;
}

/// Nothing where it is not live, or has another fence than the one that is given.
Pool::Leases::iterator Pool::find(const LeaseId& lease, std::optional<std::uint64_t> fence) {
    const auto live = leases_.find(lease);
    const bool is_it =
        live != leases_.end() && live->second.lease.fence == fence.value_or(live->second.lease.fence);
    return is_it ? live : leases_.end();
}

/// Nothing where the lease of that grant is over.
Pool::Leases::iterator Pool::find(const Grant& grant) {
    const auto live = find(grant.lease, grant.fence);
    const bool is_it =
        live != leases_.end() && live->second.server == grant.server.value_or(live->second.server);
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
        if (!lose_answer(live->second, effects.changes)) end(live, now, LeaseEnd::returned, effects);
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
    if (take_count(now, count, effects)) advance_to(now, effects);
}

void Pool::set(TimePoint now, unsigned count, PoolSettings settings, Effects& effects) {
    advance_to(now, effects);
    const bool is_resized = take_count(now, count, effects);
    const bool is_set = take_settings(std::move(settings), effects.changes);
    if (is_resized || is_set) advance_to(now, effects);
}

/// False where it has that count already. Waiters are not served.
bool Pool::take_count(TimePoint now, unsigned count, Effects& effects) {
    if (count == count_) return false;
    effects.past.push_back(
        {.what = HistoryEntry::What::resized, .at = now, .count_before = count_, .count = count});
    count_ = count;
    count_taken();
    weigh_waiters();
    effects.changes.count = count;
    ++revision_;
    return true;
}

/// False where it has these settings already. Waiters are not served.
bool Pool::take_settings(PoolSettings settings, Changes& changes) {
    if (settings == (settings_ ? *settings_ : PoolSettings())) return false;
    if (settings.cooldown != cooldown() || (settings.pick == Pick::idle) != picks_idle())
        drop_ended_rows(changes);
    settings_ = std::make_shared<const PoolSettings>(std::move(settings));
    changes.settings = settings_;
    ++revision_;
    return true;
}

bool Pool::leave(TimePoint now, Ticket ticket, Effects& effects) {
    const Waiter* const leaving = waiter(ticket);
    if (!leaving || !is_here(*leaving)) return false;
    step_away(*leaving, now, effects);
    return true;
}

bool Pool::leave(TimePoint now, Ticket ticket, Changes& changes) {
    Effects unsent(changes);
    return leave(now, ticket, unsent);
}

std::optional<Ticket> Pool::cancel(TimePoint now, const LeaseId& lease, Effects& effects) {
    advance_to(now, effects);
    std::optional<Ticket> ticket;
    const auto live = leases_.find(lease);
    if (live != leases_.end() && live->second.lease.delivery) {
        end(live, now, LeaseEnd::returned, effects);
        ticket = no_ticket;
    }
    const auto& waiters = queue_.get<ByLease>();
    if (const auto waiter = waiters.find(lease); waiter != waiters.end()) {
        ticket = is_here(*waiter) ? waiter->claim.ticket : no_ticket;
        if (waiter->claim.chosen) effects.chosen.push_back({lease, std::nullopt});
        std::optional<KeptPlace> notice;
        if (!waiter->away && !waiter->claim.callback && waiter->server != limits_->server) {
            notice = row_of(*waiter);
            notice->cancelled = true;
        }
        forget_without_lease(*waiter, waiter->away ? away_since(*waiter) : now, effects);
        if (notice) effects.changes.places[lease] = *notice;
    }
    advance_to(now, effects);
    return ticket;
}

std::vector<Ticket> Pool::send_away(TimePoint now, Changes& changes) {
    std::vector<Ticket> tickets;
    for (const Waiter& waiter : queue_) {
        if (is_here(waiter) && !waiter.claim.callback) tickets.push_back(waiter.claim.ticket);
    }
    for (const Ticket ticket : tickets)
        leave(now, ticket, changes);
    return tickets;
}

void Pool::expel(ServerId server, TimePoint now, Effects& effects) {
    std::vector<LeaseId> gone;
    for (const Waiter& waiter : queue_) {
        if (!waiter.away && !waiter.claim.callback && waiter.server == server)
            gone.push_back(waiter.claim.lease);
    }
    for (const LeaseId& lease : gone)
        step_away(*queue_.get<ByLease>().find(lease), now, effects);
    servers_.erase(server);
    if (keeper_ == server) {
        keeper_ = limits_->server;
        effects.changes.keeper = keeper_;
        call_restored(effects);
        drop_keeper(effects.changes);
    }
    advance_to(now, effects);
}

void Pool::forget_away(std::size_t most, Effects& effects) {
    const auto& waiters = queue_.get<ByServing>();
    for (; most > 0 && !waiters.empty() && waiters.rbegin()->away; --most) {
        effects.chosen.push_back({waiters.rbegin()->claim.lease, std::nullopt});
        forget_without_lease(*waiters.rbegin(), away_since(*waiters.rbegin()), effects);
    }
}

std::vector<Ticket> Pool::dissolve(TimePoint now, Effects& effects) {
    std::vector<Ticket> tickets;
    for (const Waiter& waiter : queue_) {
        if (is_here(waiter) && !waiter.claim.callback) tickets.push_back(waiter.claim.ticket);
        if (waiter.claim.chosen) effects.chosen.push_back({waiter.claim.lease, std::nullopt});
    }
    for (const auto& [id, live] : leases_) {
        if (live.lease.chosen) effects.chosen.push_back({id, std::nullopt});
        const auto how = live.lease.expires_at <= now ? LeaseEnd::expired : LeaseEnd::deleted;
        const TimePoint ended_at = std::min(live.lease.expires_at, now);
        effects.ended.push_back({ended_at - live.lease.granted_at, how});
        effects.past.push_back(end_of(live.lease, ended_at, how));
    }
    queue_.clear();
    queued_slots_ = 0;
    return tickets;
}

}  // namespace sema
