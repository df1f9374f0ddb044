#include "server/pool/pool.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

// Pools from what is stored.
namespace sema {
namespace {

// Another server takes its waiters out of the queue itself when they give up. If it has not done so by then,
// it is not about to.
constexpr Duration give_up_grace = std::chrono::seconds(1);

/// Nobody here can answer its borrower.
Claim claim_of(const KeptPlace& row, TimePoint give_up_at) {
    return {.lease = row.lease,
            .ttl = row.ttl,
            .give_up_at = give_up_at,
            .chosen = row.chosen,
            .slots = row.slots,
            .priority = row.priority,
            .holder = row.holder,
            .callback = row.callback};
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
        if (live.lease.chosen) effects.chosen.push_back({id, std::nullopt});
        if (live.lease.delivery) --callbacks_;
    }
    leases_.clear();
    in_use_ = 0;
    ends_.clear();
    resting_.clear();
    busy_.clear();
    idle_since_.clear();
}

void Pool::rebuild(const PoolRecord& record, const std::vector<Waiter>& here, TimePoint now,
                   Effects& effects) {
    clear_leases(effects);
    Queue before;
    before.swap(queue_);
    for (const Waiter& waiter : before) {
        if (waiter.claim.chosen) effects.chosen.push_back({waiter.claim.lease, std::nullopt});
    }
    queued_slots_ = 0;
    callbacks_ = 0;
    servers_.clear();
    take_rows(record, now, effects);
    if (keeper_ != ServerId{} && !is_keeper()) servers_.insert(keeper_);

    std::unordered_map<LeaseId, const Waiter*> waiters;
    for (const Waiter& waiter : here)
        waiters.emplace(waiter.claim.lease, &waiter);
    for (const KeptPlace& row : record.places) {
        const auto waiter = waiters.find(row.lease);
        const auto known = before.get<ByLease>().find(row.lease);
        take_place(row, waiter == waiters.end() ? nullptr : waiter->second,
                   known == before.get<ByLease>().end() ? nullptr : &*known, now, effects);
        if (waiter != waiters.end()) waiters.erase(waiter);
    }
    for (const Waiter& waiter : here) {
        if (waiters.count(waiter.claim.lease) == 0) continue;
        Waiter again = waiter;
        while (!enqueue(again))
            ++again.place.second;
        effects.changes.places[again.claim.lease] = row_of(again);
        if (again.claim.chosen) effects.chosen.push_back({again.claim.lease, Timeline::never});
    }
    answer_restored(now, effects);
    if (callbacks_ > 0) find_keeper(effects.changes);
    call_restored(effects);
    drop_keeper(effects.changes);
    ++revision_;
}

/// `here`: the waiter of this server that had the place, if there is one. `before`: the one that had it in
/// the copy until now.
void Pool::take_place(const KeptPlace& row, const Waiter* here, const Waiter* before, TimePoint now,
                      Effects& effects) {
    next_arrival_ = std::max(next_arrival_, row.arrival + 1);
    const bool is_own = row.server == limits_->server;
    if (row.cancelled) {
        if (here) effects.cancelled.push_back(here->claim.ticket);
        if (is_own || row.deadline <= now) effects.changes.places[row.lease] = std::nullopt;
        return;
    }
    if (row.callback) return take_callback(row, here, now, effects);
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
        waiter.call = here->call;
        waiter.claim.give_up_at = waiter.deadline = here->claim.give_up_at;
        waiter.away = false;
        waiter.server = limits_->server;
        if (!is_own) effects.changes.places[row.lease] = row_of(waiter);
    } else if (is_own) {
        // The row is still the one of its last call.
        if (before) waiter.call = before->call;
        if (!let_ask_again(waiter, now)) {
            set_away(waiter, now);
            effects.changes.places[row.lease] = row_of(waiter);
        }
    } else {
        if (here) effects.superseded.push_back(here->claim.ticket);
        if (!waiter.away) {
            waiter.deadline += give_up_grace;
            if (row.slots > 1) waiter.deadline += time_to_ask_again_at_most;
            servers_.insert(row.server);
        }
    }
    if (row.chosen) effects.chosen.push_back({row.lease, Timeline::never});
    enqueue(waiter);
}

/// `here`: a waiter of this server that had the place, until its borrower asked another one to be called.
void Pool::take_callback(const KeptPlace& row, const Waiter* here, TimePoint now, Effects& effects) {
    if (here) effects.superseded.push_back(here->claim.ticket);
    effects.chosen.push_back({row.lease, Timeline::never});
    enqueue({.claim = claim_of(row, row.deadline),
             .place = {-row.priority, row.arrival},
             .queued_at = std::min(row.queued_at, now),
             .deadline = is_keeper() ? row.deadline : row.deadline + give_up_grace});
}

void Pool::roll_back_to(const PoolRecord& record, TimePoint now, Effects& effects) {
    const Leases before = leases_;
    clear_leases(effects);
    drop_callbacks(effects);
    for (const Waiter& waiter : queue_) {
        if (waiter.claim.chosen) effects.changes.places[waiter.claim.lease] = row_of(waiter);
    }
    for (const KeptPlace& place : record.places) {
        // A borrower may have lost its place since, and got another.
        const auto row = effects.changes.places.find(place.lease);
        if (row != effects.changes.places.end() && row->second->arrival == place.arrival && !place.callback)
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
    call_restored(effects);
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
    out_ = record.out;
    keeper_ = record.keeper;
    // A store that went back to an earlier moment has forgotten some that were given.
    fence_ = reserved_fence_ = std::max(fence_, record.fence);
    for (const HeldSlot& row : record.slots)
        take_slot(row, now);
    record_expired(record, now, effects);
    count_taken();
    weigh_waiters();
    for (const auto& [id, live] : leases_) {
        if (live.lease.chosen) effects.chosen.push_back({id, live.lease.expires_at});
    }
}

void Pool::take_kept_places(const PoolRecord& record, TimePoint now, Effects& effects) {
    for (const KeptPlace& row : record.places) {
        const bool is_new = enqueue({.claim = claim_of(row, row.callback ? row.deadline : now),
                                     .place = {-row.priority, row.arrival},
                                     .queued_at = std::min(row.queued_at, now),
                                     .away = row.callback == nullptr,
                                     .deadline = row.callback ? row.deadline : now + limits_->rejoin});
        if (is_new) effects.chosen.push_back({row.lease, Timeline::never});
        next_arrival_ = std::max(next_arrival_, row.arrival + 1);
    }
}

/// When the lease of that row ends.
TimePoint Pool::end_of_slot(const HeldSlot& row, TimePoint now) const {
    // The timeline of one server may lose time over a restart; that of a shared store does not, but may be
    // a little further on where the lease was granted than it is here.
    // And what another server has promised is kept, whatever the limit here.
    if (is_shared()) return row.expires_at;
    return std::min({row.expires_at, now + row.ttl, row.granted_at + limits_->max_hold});
}

bool Pool::is_over(const HeldSlot& row, TimePoint now) const {
    // A lease that was ended early is over, whatever the time.
    return row.ended_early() || end_of_slot(row, now) + limits_->clock_error <= now;
}

void Pool::take_slot(const HeldSlot& row, TimePoint now) {
    const TimePoint end = end_of_slot(row, now);
    // A lease that ended unnoticed leaves its row until the slot is lent again. By the time here, which may
    // be behind, it may last beside a later one of its id.
    const auto known = leases_.find(row.lease);
    const bool is_another = known != leases_.end() && known->second.lease.fence != row.fence;
    const bool is_earlier = is_another && row.fence < known->second.lease.fence;
    if (!is_over(row, now) && !is_earlier) {
        if (is_another) supersede(known, now);
        const auto [live, is_first] =
            leases_.try_emplace(row.lease, Live{.lease = {.id = row.lease,
                                                          .granted_at = row.granted_at,
                                                          .expires_at = end,
                                                          .ttl = row.ttl,
                                                          .fence = row.fence,
                                                          .chosen = row.chosen,
                                                          .holder = row.holder,
                                                          .waited = row.waited,
                                                          .priority = row.priority,
                                                          .delivery = row.delivery},
                                                .answers = is_shared() ? row.answers : 1,
                                                .full_end = is_shared() ? row.full_end : std::nullopt,
                                                .server = row.server});
        if (is_first) ends_.emplace(end, row.lease);
        if (is_first && row.delivery) ++callbacks_;
        live->second.lease.positions.push_back(row.position);
        ++in_use_;
        mark(row.position, true);
    } else {
        take_unheld(row.position, end, now);
    }
}

void Pool::supersede(Leases::iterator earlier, TimePoint now) {
    const Lease lease = std::move(earlier->second.lease);
    ends_.erase({lease.expires_at, lease.id});
    leases_.erase(earlier);
    if (lease.delivery) --callbacks_;
    in_use_ -= static_cast<unsigned>(lease.positions.size());
    for (const Position position : lease.positions)
        take_unheld(position, lease.expires_at, now);
}

/// The slot of a row whose lease ended then.
void Pool::take_unheld(Position position, TimePoint end, TimePoint now) {
    if (rested_at(end) <= now) return set_free(position, end);
    resting_.emplace(end, position);
    mark(position, true);
}

/// Nobody may have seen those leases end. Their rows stay until their slots are lent again.
void Pool::record_expired(const PoolRecord& record, TimePoint now, Effects& effects) const {
    std::vector<const HeldSlot*> rows;
    for (const HeldSlot& row : record.slots) {
        if (!row.ended_early() && is_over(row, now)) rows.push_back(&row);
    }
    // Those of one lease together, by position.
    std::stable_sort(rows.begin(), rows.end(),
                     [](const HeldSlot* a, const HeldSlot* b) { return a->fence < b->fence; });
    const HeldSlot* before = nullptr;
    for (const HeldSlot* const row : rows) {
        if (before == nullptr || !(before->lease == row->lease)) {
            const TimePoint end = end_of_slot(*row, now);
            effects.past.push_back({.what = HistoryEntry::What::expired,
                                    .at = end,
                                    .held = std::max(end - row->granted_at, Duration::zero()),
                                    .fence = row->fence,
                                    .waited = row->waited,
                                    .priority = row->priority,
                                    .slots = 0,
                                    .holder = row->holder});
        }
        effects.past.back().positions.push_back(row->position);
        ++effects.past.back().slots;
        before = row;
    }
}

}  // namespace sema
