#include "server/service/pool_table.hpp"

#include "server/service/slot_answers.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

// Pools of different shards do not wait for each other's lock. More than a machine's cores, so that a
// few busy pools seldom meet in one.
constexpr std::size_t shard_count = 16;

// Nobody else is at the pools of a shard while somebody looks at so many of them: some microseconds.
constexpr std::size_t figures_at_a_time = 16;

// To make the text of a view, and to send it, takes some microseconds per entry and per watcher. After each
// one there is a pause of about twenty times that, so that watchers do not slow borrowers down.
constexpr Duration pause_per_view_entry = std::chrono::microseconds(100);

// Entries, where long texts count for more.
std::size_t effort(const PoolView& view) {
    constexpr std::size_t bytes_like_an_entry = 64;
    std::size_t texts = 0;
    const auto add = [&texts](const std::shared_ptr<const Holder>& holder) {
        if (holder) texts += holder->name.value_or("").size() + holder->url.value_or("").size();
    };
    for (const Lease& lease : view.leases)
        add(lease.holder);
    for (const Waiter& waiter : view.queue)
        add(waiter.claim.holder);
    return view.leases.size() + view.queue.size() + texts / bytes_like_an_entry;
}

}  // namespace

PoolTable::PoolTable(const Clock& clock, const ServiceLimits& limits, const std::vector<ChosenLease>& chosen,
                     std::size_t pools, Wakeups& wakeups)
    : clock_(clock),
      all_limits_{limits},
      limits_(&all_limits_.back()),
      wakeups_(wakeups),
      chosen_ids_(chosen),
      pools_(pools) {
    for (std::size_t i = 0; i < shard_count; ++i)
        shards_.push_back(std::make_unique<Shard>());
}

void PoolTable::set_limits(const ServiceLimits& limits) {
    if (limits == this->limits()) return;
    const ServiceLimits& kept = all_limits_.emplace_back(limits);
    limits_.store(&kept, std::memory_order_release);
    // A pool that comes into being meanwhile does so under its shard's lock, and finds these or is found
    // here.
    for (const auto& shard : shards_) {
        const MutexLock lock(shard->mutex);
        for (const auto& [id, entry] : shard->entries) {
            if (entry->pool) entry->pool->set_limits(kept.pool);
        }
    }
}

bool PoolTable::leave(const PoolId& pool, Ticket ticket) {
    Ready ready;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    const auto found = shard.entries.find(pool);
    if (found == shard.entries.end()) return false;
    Entry& entry = *found->second;
    for (auto& call : entry.deferred) {
        if (call.ticket == ticket) call.left = true;
    }
    return driver_->leave(shard, {pool, entry, ready}, ticket);
}

bool PoolTable::is_queued(const PoolId& pool, Ticket ticket) const {
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    const auto found = shard.entries.find(pool);
    return found != shard.entries.end() && found->second->waiters.contains(ticket);
}

std::optional<TimePoint> PoolTable::advance() {
    std::optional<TimePoint> next;
    for (const auto& shard : shards_) {
        Ready ready;
        const MutexLock lock(shard->mutex);
        while (!shard->deadlines.empty() && shard->deadlines.begin()->first <= now()) {
            const PoolId id = shard->deadlines.begin()->second;
            shard->deadlines.erase(shard->deadlines.begin());
            Entry& entry = *shard->entries.at(id);
            entry.scheduled.reset();
            driver_->advance(*shard, {id, entry, ready});
        }
        if (!shard->deadlines.empty()) {
            const TimePoint first = shard->deadlines.begin()->first;
            next = next ? std::min(*next, first) : first;
        }
    }
    return next;
}

void PoolTable::drain() {
    draining_ = true;
    for (const auto& shard : shards_) {
        Ready ready;
        const MutexLock lock(shard->mutex);
        for (auto& [id, entry] : shard->entries) {
            const Visit visit{id, *entry, ready};
            end_watch(visit, Refusal::shutting_down);
            driver_->send_away(*shard, visit);
        }
    }
}

void PoolTable::bring_up_to_date(const Visit& visit) {
    Effects effects(visit.entry.changes);
    visit.entry.pool->advance_to(now(), effects);
    pass_on(visit, effects);
}

void PoolTable::pass_on(const Visit& visit, const Effects& effects) {
    Entry& entry = visit.entry;
    std::optional<Forecast> forecast;
    for (const auto& [ticket, rank, slots] : effects.gave_up) {
        const auto call = end_wait(entry, ticket);
        if (!call) continue;
        // It is answered whatever becomes of the changes.
        if (series_) tally_of(entry).series->refusals.add();
        if (!call->is_extended) {
            visit.ready.add(call->reply, Refusal::no_resource);
            continue;
        }
        if (!forecast) forecast = entry.pool->forecast(now());
        visit.ready.add(call->reply, not_granted(*entry.pool, *forecast, rank, slots));
    }
    for (const Ticket ticket : effects.superseded) {
        if (const auto call = end_wait(entry, ticket)) visit.ready.add(call->reply, Refusal::superseded);
    }
    for (const Ticket ticket : effects.cancelled) {
        if (const auto call = end_wait(entry, ticket)) visit.ready.add(call->reply, Refusal::cancelled);
    }
    for (const auto& [ticket, lease, at, waited] : effects.granted) {
        const auto call = entry.waiters.find(ticket);
        const bool is_extended = call != entry.waiters.end() && call->second.is_extended;
        LeaseGranted answer = granted(*entry.pool, lease, at, is_extended);
        answer.waited = waited;
        driver_->reply_to_waiter(entry, ticket, answer);
    }
    for (const Lease& lease : effects.to_call)
        pass_to_caller(visit, lease);
    for (unsigned i = 0; i < effects.lapsed; ++i)
        note(entry, {.what = Happening::What::refusal});
    for (const Duration waited : effects.waits)
        note(entry, {.what = Happening::What::grant, .time = waited});
    for (const auto& [held, how] : effects.ended)
        note(entry, {.what = Happening::What::end, .how = how, .time = held});
    for (const HistoryEntry& past : effects.past)
        note(entry, past);
    for (const auto& [lease, until] : effects.chosen) {
        // What frees an id may turn out not to have happened.
        if (until) {
            chosen_ids_.keep(lease, visit.pool, *until, now());
        } else if (driver_->is_committed(entry)) {
            chosen_ids_.free(lease, visit.pool);
        } else {
            entry.freed_ids.push_back(lease);
        }
    }
}

/// Once the grant is on stable storage.
void PoolTable::pass_to_caller(const Visit& visit, const Lease& lease) {
    if (!caller_ || caller_->knows(visit.pool, {lease.id, lease.fence})) return;
    driver_->reply_when_committed(
        visit,
        [caller = caller_, pool = visit.pool](const Answer& answer) {
            const auto* state = std::get_if<DeliveryState>(&answer);
            if (state && state->due) caller->call(pool, *state->due);
        },
        DeliveryState{granted(*visit.entry.pool, lease, now(), true)});
}

/// Nothing where there is no such waiter: with a shared store it may have left just now.
std::optional<WaitingCall> PoolTable::end_wait(Entry& entry, Ticket ticket) {
    auto node = entry.waiters.extract(ticket);
    if (!node) return std::nullopt;
    driver_->wait_ended(entry, ticket);
    return std::move(node.mapped());
}

bool PoolTable::stop_watching(Entry& entry, Ticket ticket) {
    if (!entry.watch) return false;
    auto& watchers = entry.watch->watchers;
    const auto gone = std::erase_if(watchers, [&](const auto& watcher) { return watcher.first == ticket; });
    if (watchers.empty()) entry.watch.reset();
    return gone > 0;
}

void PoolTable::end_watch(const Visit& visit, Refusal why) {
    if (!visit.entry.watch) return;
    for (const auto& [ticket, reply] : visit.entry.watch->watchers)
        visit.ready.add(reply, why);
    visit.entry.watch.reset();
}

std::shared_ptr<const PoolView> PoolTable::next_view(Entry& entry) const {
    if (!entry.has_news() || entry.watch->due > now()) return nullptr;
    auto view = std::make_shared<const PoolView>(entry.pool->view(now()));
    const std::size_t entries = effort(*view) + entry.watch->watchers.size();
    entry.watch->due = view->at + static_cast<Duration::rep>(entries) * pause_per_view_entry;
    entry.watch->shown = view->revision;
    return view;
}

Tally& PoolTable::tally_in(Entry& entry) {
    if (!entry.tally) entry.tally = std::make_unique<Tally>();
    return *entry.tally;
}

Tally& PoolTable::tally_of(Entry& entry) {
    Tally& tally = tally_in(entry);
    if (!entry.pool) return tally.series ? tally : (tally.series = series_->of(""), tally);
    const auto& settings = entry.pool->settings();
    if (!tally.series || tally.settings != settings) {
        tally.series = series_->of(settings ? settings->name : "");
        tally.settings = settings;
    }
    return tally;
}

void PoolTable::note(Entry& entry, const Happening& happening) {
    if (series_) tally_of(entry).happened.push_back(happening);
}

void PoolTable::note(Entry& entry, const HistoryEntry& past) {
    if (history_ && history_->is_kept()) tally_in(entry).past.push_back(past);
}

/// The rows of expired leases are read again and again.
void PoolTable::drop_known_expiries(Tally& tally, std::vector<HistoryEntry>& past) {
    std::erase_if(past, [&](const HistoryEntry& entry) {
        if (entry.what != HistoryEntry::What::expired) return false;
        return std::exchange(tally.last_expired[entry.positions.front()], entry.fence) == entry.fence;
    });
}

void PoolTable::add_to_history(std::vector<PoolPast>&& past) {
    for (PoolPast& each : past) {
        const bool has_expired = std::any_of(each.entries.begin(), each.entries.end(), [](const auto& entry) {
            return entry.what == HistoryEntry::What::expired;
        });
        if (!has_expired) continue;
        Shard& shard = shard_of(each.pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(each.pool);
        if (found != shard.entries.end()) drop_known_expiries(tally_in(*found->second), each.entries);
    }
    history_->add(std::move(past));
}

void PoolTable::count(const PoolId& pool, Entry& entry) {
    if (!entry.tally) return;
    if (!entry.tally->past.empty()) {
        std::vector<PoolPast> past;
        past.push_back({pool, std::exchange(entry.tally->past, {})});
        drop_known_expiries(*entry.tally, past.front().entries);
        history_->add(std::move(past));
    }
    if (entry.tally->happened.empty()) return;
    entry.tally->series->count(entry.tally->happened);
    entry.tally->happened.clear();
}

SeriesFigures PoolTable::figures() {
    SeriesFigures sums;
    for (const auto& shard : shards_) {
        std::vector<PoolId> ids;
        {
            const MutexLock lock(shard->mutex);
            ids.reserve(shard->entries.size());
            for (const auto& [id, entry] : shard->entries)
                ids.push_back(id);
        }
        for (std::size_t next = 0; next < ids.size();) {
            Ready ready;
            const MutexLock lock(shard->mutex);
            for (const std::size_t end = std::min(next + figures_at_a_time, ids.size()); next < end; ++next)
                add_figures(*shard, ids[next], ready, sums);
        }
    }
    return sums;
}

void PoolTable::add_figures(Shard& shard, const PoolId& pool, Ready& ready, SeriesFigures& sums) {
    const auto found = shard.entries.find(pool);
    if (found == shard.entries.end()) return;
    Entry& entry = *found->second;
    if (!entry.pool) return;
    const bool knows_queue = driver_->refresh(shard, {pool, entry, ready});
    const PoolFigures figures = entry.pool->figures(now());
    PoolFigures& sum = sums[tally_of(entry).series];
    sum.slots += figures.slots;
    sum.in_use += figures.in_use;
    sum.resting += figures.resting;
    sum.out += figures.out;
    sum.available += figures.available;
    if (!knows_queue) return;
    sum.waiters += figures.waiters;
    sum.oldest_wait = std::max(sum.oldest_wait, figures.oldest_wait);
}

void PoolTable::count_use(Entry& entry, std::size_t waiting) {
    waiters_ += waiting - entry.counted_waiters;
    entry.counted_waiters = waiting;
    const std::size_t leases = entry.pool ? entry.pool->leases() : 0;
    leases_ += leases - entry.counted_leases;
    entry.counted_leases = leases;
}

void PoolTable::forget_away(const PoolId& pool, Entry& entry, std::size_t most) {
    Ready nobody;
    Effects effects(entry.changes);
    entry.pool->forget_away(most, effects);
    pass_on({pool, entry, nobody}, effects);
}

void PoolTable::mark_dirty(Shard& shard, const PoolId& pool, Entry& entry) {
    if (entry.dirty) return;
    entry.dirty = true;
    shard.dirty.push_back(pool);
    wakeups_.add_work();
}

void PoolTable::wake_at(Shard& shard, const PoolId& pool, Entry& entry, TimePoint time) {
    if (entry.scheduled && *entry.scheduled <= time) return;
    if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
    entry.scheduled = time;
    const auto added = shard.deadlines.emplace(time, pool).first;
    if (added == shard.deadlines.begin()) wakeups_.schedule(time);
}

void PoolTable::forget(Shard& shard, const PoolId& pool, Entry& entry) {
    if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
    if (entry.dirty) std::erase(shard.dirty, pool);
    leases_ -= entry.counted_leases;
    shard.entries.erase(pool);
}

}  // namespace sema
