#include "server/pool/pool.hpp"

#include <algorithm>
#include <unordered_map>

// Pools from what is stored.
namespace sema {
namespace {

// Another server takes its waiters out of the queue itself when they give up. If it has not done so by then,
// it is not about to.
constexpr Duration give_up_grace = std::chrono::seconds(1);

/// Nobody here can answer its borrower.
Claim claim_of(const KeptPlace& row, TimePoint give_up_at) {
    return {.lease = row.lease,
            .give_up_at = give_up_at,
            .chosen = row.chosen,
            .slots = row.slots,
            .priority = row.priority,
            .holder = row.holder};
}

}  // namespace

Pool::Pool(const PoolRecord& record, TimePoint now, const PoolLimits& limits) : limits_(&limits) {
    Changes none;
    Effects nobody(none);
    take_rows(record, now, nobody);
    take_kept_places(record, now, nobody);
}

void Pool::clear_leases(Effects& effects) {
    for (const auto& [id, live] : leases_) {
        if (live.lease.chosen) effects.chosen.push_back({id, TimePoint::min()});
    }
    leases_.clear();
    in_use_ = 0;
    ends_.clear();
    resting_.clear();
    busy_.clear();
}

void Pool::rebuild(const PoolRecord& record, const std::vector<Waiter>& here, TimePoint now,
                   Effects& effects) {
    clear_leases(effects);
    for (const Waiter& waiter : queue_) {
        if (waiter.claim.chosen) effects.chosen.push_back({waiter.claim.lease, TimePoint::min()});
    }
    queue_.clear();
    queued_slots_ = 0;
    servers_.clear();
    take_rows(record, now, effects);

    std::unordered_map<LeaseId, const Waiter*> waiters;
    for (const Waiter& waiter : here)
        waiters.emplace(waiter.claim.lease, &waiter);
    for (const KeptPlace& row : record.places) {
        const auto waiter = waiters.find(row.lease);
        take_place(row, waiter == waiters.end() ? nullptr : waiter->second, now, effects);
        if (waiter != waiters.end()) waiters.erase(waiter);
    }
    for (const Waiter& waiter : here) {
        if (waiters.count(waiter.claim.lease) == 0) continue;
        Waiter again = waiter;
        while (!enqueue(again))
            ++again.place.second;
        effects.changes.places[again.claim.lease] = row_of(again);
        if (again.claim.chosen) effects.chosen.push_back({again.claim.lease, TimePoint::max()});
    }
    answer_restored(now, effects);
    ++revision_;
}

/// `here`: the waiter of this server that had the place, if there is one.
void Pool::take_place(const KeptPlace& row, const Waiter* here, TimePoint now, Effects& effects) {
    next_arrival_ = std::max(next_arrival_, row.arrival + 1);
    const bool is_own = row.server == limits_->server;
    if (row.cancelled) {
        if (here) effects.cancelled.push_back(here->claim.ticket);
        if (is_own || row.deadline <= now) effects.changes.places[row.lease] = std::nullopt;
        return;
    }
    // Nobody waits there any more: this server has answered it, or somebody else has, before the row was
    // gone.
    if (is_own && !here && !row.chosen) {
        effects.changes.places[row.lease] = std::nullopt;
        return;
    }
    Waiter waiter{.claim = claim_of(row, row.deadline),
                  .place = {-row.priority, row.arrival},
                  // The other server may have been a little further on.
                  .queued_at = std::min(row.queued_at, now),
                  .away = row.server == ServerId{},
                  .deadline = row.deadline,
                  .server = row.server};
    if (here && (is_own || waiter.away)) {
        // Where another server took this one for lost, the waiter counts as away.
        waiter.claim.ticket = here->claim.ticket;
        waiter.claim.ttl = here->claim.ttl;
        waiter.claim.give_up_at = waiter.deadline = here->claim.give_up_at;
        waiter.away = false;
        waiter.server = limits_->server;
        if (!is_own) effects.changes.places[row.lease] = row_of(waiter);
    } else if (is_own) {
        waiter.away = true;
        waiter.server = ServerId{};
        waiter.deadline = now + limits_->rejoin;
        effects.changes.places[row.lease] = row_of(waiter);
    } else {
        if (here) effects.superseded.push_back(here->claim.ticket);
        if (!waiter.away) {
            waiter.deadline += give_up_grace;
            servers_.insert(row.server);
        }
    }
    if (row.chosen) effects.chosen.push_back({row.lease, TimePoint::max()});
    enqueue(waiter);
}

void Pool::roll_back_to(const PoolRecord& record, TimePoint now, Effects& effects) {
    const Leases before = leases_;
    clear_leases(effects);
    for (const Waiter& waiter : queue_) {
        if (waiter.claim.chosen) effects.changes.places[waiter.claim.lease] = row_of(waiter);
    }
    for (const KeptPlace& place : record.places) {
        // A borrower may have lost its place since, and got another.
        const auto row = effects.changes.places.find(place.lease);
        if (row != effects.changes.places.end() && row->second->arrival == place.arrival)
            effects.changes.places.erase(row);
    }
    take_rows(record, now, effects);
    take_kept_places(record, now, effects);
    for (auto& [id, live] : leases_) {
        const auto known = before.find(id);
        if (known == before.end() || known->second.lease.fence != live.lease.fence) continue;
        live.answers = known->second.answers;
        live.full_end = known->second.full_end;
        if (!live.full_end) continue;
        const TimePoint end = live.answers == 0 ? known->second.lease.expires_at : *live.full_end;
        if (end != live.lease.expires_at) set_end(live, end, effects);
    }
    answer_restored(now, effects);
    ++revision_;
}

/// Somebody may have given back a lease and asked for another with the same id, and the former was not
/// stored.
void Pool::answer_restored(TimePoint now, Effects& effects) {
    for (auto& [id, live] : leases_) {
        const auto& waiters = queue_.get<ByLease>();
        const auto waiter = waiters.find(id);
        if (waiter == waiters.end()) continue;
        if (is_here(*waiter)) {
            count_answer(live, effects);
            effects.granted.push_back({waiter->claim.ticket, live.lease, now});
        }
        forget(*waiter, effects.changes);
    }
}

void Pool::take_rows(const PoolRecord& record, TimePoint now, Effects& effects) {
    count_ = record.count;
    settings_ = record.settings;
    // A store that went back to an earlier moment has forgotten some that were given.
    fence_ = reserved_fence_ = std::max(fence_, record.fence);
    for (const HeldSlot& row : record.slots)
        take_slot(row, now);
    count_busy();
    weigh_waiters();
    for (const auto& [id, live] : leases_) {
        if (live.lease.chosen) effects.chosen.push_back({id, live.lease.expires_at});
    }
}

void Pool::take_kept_places(const PoolRecord& record, TimePoint now, Effects& effects) {
    for (const KeptPlace& row : record.places) {
        const bool is_new = enqueue({.claim = claim_of(row, now),
                                     .place = {-row.priority, row.arrival},
                                     .queued_at = std::min(row.queued_at, now),
                                     .away = true,
                                     .deadline = now + limits_->rejoin});
        if (is_new) effects.chosen.push_back({row.lease, TimePoint::max()});
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
        const auto [live, is_first] =
            leases_.try_emplace(row.lease, Live{.lease = {.id = row.lease,
                                                          .granted_at = row.granted_at,
                                                          .expires_at = end,
                                                          .ttl = row.ttl,
                                                          .fence = row.fence,
                                                          .chosen = row.chosen,
                                                          .holder = row.holder},
                                                .answers = is_shared() ? row.told : 1,
                                                .full_end = is_shared() ? row.full_end : std::nullopt,
                                                .server = row.server});
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

}  // namespace sema
