#include "server/service/state.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

// Pools of different shards do not wait for each other's lock. More than a machine's cores, so that a
// few busy pools seldom meet in one.
constexpr std::size_t shard_count = 16;

PoolCounts counts(const Pool& pool) {
    return {pool.count(), pool.in_use(), pool.available()};
}

std::shared_ptr<const PoolView> view_of(const Pool& pool, TimePoint now) {
    return std::make_shared<const PoolView>(pool.view(now));
}

LeaseGranted granted(const Pool& pool, const Lease& lease, TimePoint now, bool is_extended) {
    // It may be asked for again when its time has passed, and it is not over yet.
    return {lease, std::max(lease.expires_at - now, Duration::zero()), is_extended,
            is_extended ? pool.settings() : nullptr};
}

NotGranted not_granted(const Pool& pool, const Forecast& forecast, std::size_t rank, unsigned slots) {
    return {rank, pool.waiting(), pool.in_use(), pool.count(), pool.eta(forecast, rank, slots)};
}

// What a PUT does not name stays.
PoolSettings settings_after(const PoolSettings* before, const wire::RegisterRequest& request) {
    return changed(before ? *before : PoolSettings(), request.settings);
}

// Names this server in what it stores, if others share the store.
ServiceLimits named(ServiceLimits limits, const SharedStore* store) {
    if (!store) return limits;
    limits.pool.server = store->self();
    limits.pool.clock_error = store->clock_error();
    return limits;
}

}  // namespace

Service::Service(Store& store, Clock& clock, const ServiceLimits& limits,
                 std::function<void(const std::string&)> on_store_trouble)
    : store_(store),
      shared_(dynamic_cast<SharedStore*>(&store)),
      clock_(clock),
      limits_(named(limits, shared_)),
      on_store_trouble_(std::move(on_store_trouble)),
      chosen_ids_(store.chosen_leases().value_or(std::vector<ChosenLease>())),
      pools_(store.pool_count().value_or(0)) {
    for (std::size_t i = 0; i < shard_count; ++i)
        shards_.push_back(std::make_unique<Shard>());
    if (shared_) shared_->listen(this);
}

Service::~Service() {
    stop();
}

void Service::start() {
    committer_ = std::thread([this] { run_committer(); });
    timer_ = std::thread([this] { run_timer(); });
}

void Service::drain() {
    draining_ = true;
    for (const auto& shard : shards_) {
        Ready ready;
        const MutexLock lock(shard->mutex);
        for (auto& [id, entry] : shard->entries) {
            end_watch(entry, Refusal::shutting_down, ready);
            if (shared_) drain_shared(*shard, id, entry, ready);
            if (shared_ || !entry.pool) continue;
            for (const Ticket ticket : entry.pool->send_away(clock_.now(), entry.changes))
                ready.add(entry.waiters.extract(ticket).mapped().reply, Refusal::shutting_down);
            count_waiters(entry);
        }
    }
}

void Service::stop() {
    if (shared_) shared_->listen(nullptr);
    stopping_ = true;
    {
        const MutexLock lock(timer_mutex_);
        wake_at_ = TimePoint::min();
    }
    timer_changed_.notify_all();
    if (timer_.joinable()) timer_.join();
    wake_committer();
    if (committer_.joinable()) committer_.join();
    while (flush()) {
    }
}

void Service::put(const PoolId& pool, const wire::RegisterRequest& request, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this, pool, request](Entry& entry, const Reply& to, Ready& ready) {
        const TimePoint now = clock_.now();
        Outcome outcome;
        if (entry.pool) {
            entry.pool->set_count(now, request.count, entry.changes, outcome);
        } else {
            if (pools_ >= limits_.max_pools) return refuse(entry, to, Refusal::too_many_pools, ready);
            entry.pool.emplace(request.count, entry.fence, limits_.pool, entry.changes);
            set_present(entry, true);
        }
        entry.pool->set(now, settings_after(entry.pool->settings().get(), request), entry.changes, outcome);
        tell(pool, entry, outcome, ready);
        answer(entry, to, counts(*entry.pool), ready);
    });
}

void Service::resize(const PoolId& pool, std::int64_t by, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this, pool, by](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
        const std::int64_t count = entry.pool->count() + by;
        if (count < 0 || count > limits_.max_count)
            return answer(entry, to, Refusal::count_out_of_range, ready);
        Outcome outcome;
        entry.pool->set_count(clock_.now(), static_cast<unsigned>(count), entry.changes, outcome);
        tell(pool, entry, outcome, ready);
        answer(entry, to, counts(*entry.pool), ready);
    });
}

void Service::inspect(const PoolId& pool, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this, pool](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
        bring_up_to_date(pool, entry, ready);
        answer(entry, to, counts(*entry.pool), ready);
    });
}

void Service::list_holders(const PoolId& pool, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this, pool](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
        bring_up_to_date(pool, entry, ready);
        answer(entry, to, view_of(*entry.pool, clock_.now()), ready);
    });
}

void Service::remove(const PoolId& pool, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this, pool](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, PoolDeleted{false}, ready);
        Outcome outcome;
        for (const Ticket ticket : entry.pool->dissolve(outcome))
            answer_waiter(entry, ticket, Refusal::no_such_pool);
        entry.fence = entry.pool->fence();
        entry.changes = Changes{.cleared = true, .fence = entry.fence};
        tell(pool, entry, outcome, ready);
        // In a shared pool they are told once it is gone.
        if (entry.watch && !shared_) {
            // Should the pool turn out to stay, they are told that they missed that.
            for (auto& [ticket, watcher] : entry.watch->watchers) {
                entry.answers.push_back({[to = std::move(watcher)](const Answer& given) {
                                             const auto* refusal = std::get_if<Refusal>(&given);
                                             const bool failed = refusal && *refusal == Refusal::store_failed;
                                             to(failed ? Refusal::watch_lost : given);
                                         },
                                         Refusal::no_such_pool,
                                         {}});
            }
            entry.watch.reset();
        }
        entry.pool.reset();
        set_present(entry, false);
        answer(entry, to, PoolDeleted{true}, ready);
    });
}

void Service::borrow(const PoolId& pool, Ticket ticket, const wire::BorrowRequest& request, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    const TimePoint asked_at = clock_.now();
    const Claim claim{ticket,
                      request.lease ? *request.lease : LeaseId::random(),
                      std::min(request.ttl, limits_.max_ttl),
                      asked_at + (request.wait > Duration::zero()
                                      ? std::min(request.wait, limits_.max_wait) + limits_.pool.clock_error
                                      : Duration::zero()),
                      request.lease.has_value(),
                      request.slots,
                      request.priority,
                      request.holder};
    perform(pool, ticket, reply,
            [this, pool, claim, is_extended = request.extended](Entry& entry, const Reply& to, Ready& ready) {
                if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
                borrow(pool, entry, claim, {to, is_extended}, ready);
            });
}

void Service::borrow(const PoolId& id, Entry& entry, const Claim& claim, const WaitingCall& call,
                     Ready& ready) {
    Pool& pool = *entry.pool;
    const TimePoint now = clock_.now();
    if (claim.chosen && !chosen_ids_.take(claim.lease, id, now))
        return refuse(entry, call.reply, Refusal::lease_id_in_use, ready);
    Outcome outcome;
    const auto borrowed = pool.borrow(now, claim, entry.changes, outcome);
    tell(id, entry, outcome, ready);
    if (const auto* held = std::get_if<Pool::Held>(&borrowed)) {
        answer(entry, call.reply, granted(pool, held->lease, now, call.is_extended), ready);
    } else if (const auto* unavailable = std::get_if<Pool::Unavailable>(&borrowed)) {
        if (!call.is_extended) return refuse(entry, call.reply, Refusal::no_resource, ready);
        refuse(entry, call.reply, not_granted(pool, pool.forecast(now), unavailable->rank, claim.slots),
               ready);
    } else if (waiters_ >= limits_.max_waiters && adds_waiter(entry)) {
        Outcome after;
        pool.cancel(now, claim.lease, entry.changes, after);
        tell(id, entry, after, ready);
        refuse(entry, call.reply, Refusal::too_many_waiters, ready);
    } else if (draining_) {
        pool.leave(now, claim.ticket, entry.changes);
        refuse(entry, call.reply, Refusal::shutting_down, ready);
    } else {
        entry.waiters.emplace(claim.ticket, call);
        if (entry.shared) entry.shared->give_ups.emplace(claim.give_up_at, claim.ticket);
    }
}

void Service::keep_alive(const PoolId& pool, const LeaseId& lease, Duration ttl, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    const Duration length = std::min(ttl, limits_.max_ttl);
    perform(pool, Ticket{}, reply, [this, pool, lease, length](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, LeaseRenewed{}, ready);
        const TimePoint now = clock_.now();
        Outcome outcome;
        const auto kept = entry.pool->keep_alive(now, lease, length, entry.changes, outcome);
        tell(pool, entry, outcome, ready);
        if (const auto* renewed = std::get_if<Lease>(&kept)) {
            answer(entry, to, LeaseRenewed{*renewed, renewed->expires_at - now}, ready);
        } else if (std::holds_alternative<Pool::NotHeld>(kept)) {
            answer(entry, to, LeaseRenewed{}, ready);
        } else {
            answer(entry, to, Refusal::not_renewable, ready);
        }
    });
}

void Service::give_back(const PoolId& pool, const LeaseId& lease, Reply reply) {
    perform(pool, Ticket{}, reply, [this, pool, lease](Entry& entry, const Reply& to, Ready& ready) {
        bool returned = false;
        if (entry.pool) {
            Outcome outcome;
            returned = entry.pool->give_back(clock_.now(), lease, entry.changes, outcome);
            tell(pool, entry, outcome, ready);
        }
        answer(entry, to, LeaseReturned{returned}, ready);
    });
}

void Service::revoke(const PoolId& pool, Position position, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this, pool, position](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
        Outcome outcome;
        const bool revoked = entry.pool->revoke(clock_.now(), position, entry.changes, outcome);
        tell(pool, entry, outcome, ready);
        answer(entry, to, LeaseRevoked{revoked}, ready);
    });
}

void Service::cancel(const PoolId& pool, const LeaseId& lease, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this, pool, lease](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, BorrowCancelled{false}, ready);
        Outcome outcome;
        const auto ticket = entry.pool->cancel(clock_.now(), lease, entry.changes, outcome);
        if (ticket && *ticket != Ticket{}) answer_waiter(entry, *ticket, Refusal::cancelled);
        tell(pool, entry, outcome, ready);
        answer(entry, to, BorrowCancelled{ticket.has_value()}, ready);
    });
}

void Service::undelivered(const PoolId& pool, const Lease& lease) {
    const Reply nobody = [](const Answer&) {};
    if (!shared_) return perform(pool, Ticket{}, nobody, giving_up(pool, {lease.id, lease.fence}));
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    Entry& entry = shard.entries.try_emplace(pool).first->second;
    give_up_later(pool, entry, lease, std::nullopt);
    mark_dirty(shard, pool, entry);
}

/// The answer that told of that grant does not arrive.
Service::Act Service::giving_up(const PoolId& pool, const Pool::Grant& grant) {
    return [this, pool, grant](Entry& entry, const Reply&, Ready& ready) {
        if (!entry.pool) return;
        Outcome outcome;
        entry.pool->undelivered(clock_.now(), grant, entry.changes, outcome);
        tell(pool, entry, outcome, ready);
    };
}

void Service::watch(const PoolId& pool, Ticket ticket, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, ticket, reply, [this, pool, ticket](Entry& entry, const Reply& to, Ready& ready) {
        // Whoever comes after drain() looked here would not be told by it.
        if (draining_) return refuse(entry, to, Refusal::shutting_down, ready);
        if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
        bring_up_to_date(pool, entry, ready);
        if (!entry.watch) entry.watch = std::make_unique<Entry::Watch>();
        if (entry.watch->watchers.empty()) entry.watch->shown = entry.pool->revision();
        // It may be done for the second time.
        std::erase_if(entry.watch->watchers, [&](const auto& watcher) { return watcher.first == ticket; });
        entry.watch->watchers.emplace_back(ticket, to);
        answer(entry, to, view_of(*entry.pool, clock_.now()), ready);
    });
}

bool Service::leave(const PoolId& pool, Ticket ticket) {
    Ready ready;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    const auto found = shard.entries.find(pool);
    if (found == shard.entries.end()) return false;
    Entry& entry = found->second;
    for (auto& call : entry.deferred) {
        if (call.ticket == ticket) call.left = true;
    }
    if (shared_) return leave_shared(shard, pool, entry, ticket);
    if (!leave(entry, ticket)) return false;
    if (entry.loaded && entry.pool) bring_up_to_date(pool, entry, ready);
    finish(shard, pool, entry);
    return true;
}

bool Service::leave(Entry& entry, Ticket ticket) {
    if (stop_watching(entry, ticket)) return true;
    if (!entry.pool || !entry.pool->leave(clock_.now(), ticket, entry.changes)) return false;
    entry.waiters.erase(ticket);
    return true;
}

bool Service::stop_watching(Entry& entry, Ticket ticket) {
    if (!entry.watch) return false;
    auto& watchers = entry.watch->watchers;
    const auto gone = std::erase_if(watchers, [&](const auto& watcher) { return watcher.first == ticket; });
    if (watchers.empty()) entry.watch.reset();
    return gone > 0;
}

std::optional<TimePoint> Service::advance() {
    std::optional<TimePoint> next;
    for (const auto& shard : shards_) {
        Ready ready;
        const MutexLock lock(shard->mutex);
        while (!shard->deadlines.empty() && shard->deadlines.begin()->first <= clock_.now()) {
            const PoolId id = shard->deadlines.begin()->second;
            shard->deadlines.erase(shard->deadlines.begin());
            Entry& entry = shard->entries.at(id);
            entry.scheduled.reset();
            if (shared_) {
                advance_shared(*shard, id, entry, ready);
                continue;
            }
            // A pool that is being read anew is brought up to date once that is done.
            if (!entry.loaded || !entry.pool) continue;
            bring_up_to_date(id, entry, ready);
            finish(*shard, id, entry);
        }
        if (!shard->deadlines.empty()) {
            const TimePoint first = shard->deadlines.begin()->first;
            next = next ? std::min(*next, first) : first;
        }
    }
    return next;
}

Service::Shard& Service::shard_of(const PoolId& pool) {
    return *shards_[std::hash<PoolId>()(pool) % shards_.size()];
}

/// What follows from whatever was just done to `entry`, which may be gone afterwards.
void Service::finish(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex) {
    count_waiters(entry);
    bound_away(pool, entry);
    auto next =
        entry.pool ? entry.watch ? entry.pool->next_change() : entry.pool->next_deadline() : std::nullopt;
    bool is_due = !entry.answers.empty();
    const auto is_due_at = [&](TimePoint time) {
        if (time <= clock_.now()) {
            is_due = true;
        } else {
            next = next ? std::min(*next, time) : time;
        }
    };
    if (!entry.changes.empty()) is_due_at(entry.retry_at);
    if (entry.has_news()) is_due_at(entry.watch->due);
    if (is_due && !entry.dirty) {
        entry.dirty = true;
        shard.dirty.push_back(pool);
        work_ = true;
    }
    if (next) wake_at(shard, pool, entry, *next);
    drop_if_gone(shard, pool, entry);
}

/// Has advance() look at the pool then, or before.
void Service::wake_at(Shard& shard, const PoolId& pool, Entry& entry, TimePoint time) REQUIRES(shard.mutex) {
    if (entry.scheduled && *entry.scheduled <= time) return;
    if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
    entry.scheduled = time;
    const auto place = shard.deadlines.emplace(time, pool).first;
    if (place == shard.deadlines.begin()) schedule(time);
}

/// REQUIRES: a call to the pool was queued since its waiters were counted, and is not among them yet.
bool Service::adds_waiter(const Entry& entry) const {
    // Otherwise it took somebody's place over.
    return shared_ ? entry.waiters.size() >= entry.counted_waiters
                   : entry.pool->waiting() > entry.counted_waiters;
}

/// Those of other servers are theirs to count.
void Service::count_waiters(Entry& entry) {
    const std::size_t waiting = shared_ ? entry.waiters.size() : entry.pool ? entry.pool->waiting() : 0;
    waiters_ += waiting - entry.counted_waiters;
    entry.counted_waiters = waiting;
}

/// Places of borrowers who are away need no connection, so that they alone could exhaust the limit.
void Service::bound_away(const PoolId& pool, Entry& entry) {
    if (!entry.loaded || !entry.pool) return;
    // Where several servers share the pool, each may have as many waiters in it.
    const std::size_t present = shared_ ? entry.pool->waiting() : waiters_.load();
    const std::size_t most = shared_ ? limits_.max_waiters : limits_.max_waiters / 2;
    if (present <= most) return;
    Outcome outcome;
    Ready nobody;
    entry.pool->forget_away(present - most, entry.changes, outcome);
    tell(pool, entry, outcome, nobody);
    count_waiters(entry);
}

/// Nothing is kept for a pool that is not there.
void Service::drop_if_gone(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex) {
    if (!entry.idle() || (!shared_ && uncommitted(entry))) return;
    if (entry.shared && entry.shared->check_at) shared_->unfollow(pool);
    if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
    shard.entries.erase(pool);
}

void Service::bring_up_to_date(const PoolId& pool, Entry& entry, Ready& ready) {
    Outcome outcome;
    entry.pool->advance_to(clock_.now(), entry.changes, outcome);
    tell(pool, entry, outcome, ready);
}

/// Passes on what a call to the pool meant for its waiters, and for ids that borrowers chose.
void Service::tell(const PoolId& pool, Entry& entry, const Outcome& outcome, Ready& ready) {
    // Nothing where a waiter of a shared pool left just now.
    const auto waiter = [&](Ticket ticket) {
        auto node = entry.waiters.extract(ticket);
        if (node && entry.shared) end_wait(pool, entry, ticket, node.mapped());
        return node ? std::optional(std::move(node.mapped())) : std::nullopt;
    };
    std::optional<Forecast> forecast;
    for (const auto& [ticket, rank, slots] : outcome.gave_up) {
        const auto call = waiter(ticket);
        if (!call) continue;
        if (!call->is_extended) {
            ready.add(call->reply, Refusal::no_resource);
            continue;
        }
        if (!forecast) forecast = entry.pool->forecast(clock_.now());
        ready.add(call->reply, not_granted(*entry.pool, *forecast, rank, slots));
    }
    for (const Ticket ticket : outcome.superseded) {
        if (const auto call = waiter(ticket)) ready.add(call->reply, Refusal::superseded);
    }
    for (const Ticket ticket : outcome.cancelled) {
        if (const auto call = waiter(ticket)) ready.add(call->reply, Refusal::cancelled);
    }
    for (const auto& [ticket, lease, at] : outcome.granted) {
        const auto call = entry.waiters.find(ticket);
        const bool is_extended = call != entry.waiters.end() && call->second.is_extended;
        answer_waiter(entry, ticket, granted(*entry.pool, lease, at, is_extended));
    }
    for (const auto& [lease, until] : outcome.chosen) {
        // What frees an id may turn out not to have happened.
        if (until == TimePoint::min() && uncommitted(entry)) {
            entry.freed_ids.push_back(lease);
        } else {
            chosen_ids_.set(lease, pool, until, clock_.now());
        }
    }
}

/// Answers when everything done to the pool so far is committed.
void Service::answer(Entry& entry, const Reply& reply, const Answer& answer, Ready& ready) {
    if (uncommitted(entry)) {
        entry.answers.push_back({reply, answer, {}});
    } else {
        ready.add(reply, answer);
    }
}

/// Answers at once, since it takes nothing that is stored; in a shared pool, once it is known that no other
/// server has changed what it rests on.
void Service::refuse(Entry& entry, const Reply& reply, const Answer& answer, Ready& ready) {
    if (shared_) return entry.answers.push_back({reply, answer, {}});
    ready.add(reply, answer);
}

/// Answers a waiter when everything done to the pool so far is committed.
void Service::answer_waiter(Entry& entry, Ticket ticket, const Answer& answer) {
    if (shared_) return entry.answers.push_back({{}, answer, ticket});
    entry.answers.push_back({std::move(entry.waiters.extract(ticket).mapped().reply), answer, {}});
}

bool Service::uncommitted(const Entry& entry) const {
    return shared_ || !entry.changes.empty() || entry.batch > committed_;
}

/// Tells those who watch why there will be no more views.
void Service::end_watch(Entry& entry, Refusal why, Ready& ready) {
    if (!entry.watch) return;
    for (const auto& [ticket, reply] : entry.watch->watchers)
        ready.add(reply, why);
    entry.watch.reset();
}

Readiness Service::readiness() {
    if (draining_) return Readiness::shutting_down;
    if (!shared_ || shared_->reachable()) return Readiness::ready;
    // A round tells why.
    work_ = true;
    return Readiness::store_away;
}

void Service::set_present(Entry& entry, bool present) {
    if (shared_) {
        if (present) ++pools_;
        return;
    }
    if (entry.present == present) return;
    present ? ++pools_ : --pools_;
    entry.present = present;
}

}  // namespace sema
