#include "common/overloaded.hpp"
#include "server/service/parts.hpp"
#include "server/service/slot_answers.hpp"

#include <algorithm>
#include <utility>

// The calls of the API. How they become durable, and when they are answered, is the driver's.
namespace sema {
namespace {

PoolCounts counts(const Pool& pool) {
    return {pool.count(), pool.in_use(), pool.available()};
}

std::shared_ptr<const PoolView> view_of(const Pool& pool, TimePoint now) {
    return std::make_shared<const PoolView>(pool.view(now));
}

// What a PUT does not name stays.
PoolSettings settings_after(const PoolSettings* before, const wire::RegisterRequest& request) {
    return changed(before ? *before : PoolSettings(), request.settings);
}

// How long a borrower who is to be called waits.
Duration callback_wait(const wire::BorrowRequest& request, const ServiceLimits& limits) {
    const bool is_given = request.wait > Duration::zero();
    return is_given ? std::min(request.wait, limits.max_callback_wait) : limits.max_callback_wait;
}

Claim claim_of(const wire::BorrowRequest& request, Ticket ticket, TimePoint now,
               const ServiceLimits& limits) {
    if (request.callback) {
        const std::string text = wire::to_json(*request.callback);
        // It learns the lease's id at once, and so may ask again.
        return {.lease = request.lease ? *request.lease : LeaseId::random(),
                .ttl = std::min(request.ttl, limits.max_ttl),
                .give_up_at = now + callback_wait(request, limits) + limits.pool.clock_error,
                .chosen = true,
                .slots = request.slots,
                .priority = request.priority,
                .holder = request.holder,
                // Of no more room than it needs.
                .callback = std::make_shared<const CallbackText>(text.data(), text.size())};
    }
    const Duration wait = std::min(request.wait, limits.max_wait) + limits.pool.clock_error;
    return {.ticket = ticket,
            .lease = request.lease ? *request.lease : LeaseId::random(),
            .ttl = std::min(request.ttl, limits.max_ttl),
            .give_up_at = request.wait > Duration::zero() ? now + wait : now,
            .chosen = request.lease.has_value(),
            .slots = request.slots,
            .priority = request.priority,
            .holder = request.holder};
}

}  // namespace

void Service::put(const PoolId& pool, const wire::RegisterRequest& request, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this, request](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        const ServiceLimits& limits = table_.limits();
        if (!entry.pool) {
            if (table_.pools() >= limits.max_pools)
                return driver_.reply_now(visit, to, Refusal::too_many_pools);
            entry.pool.emplace(request.count, entry.fence, limits.pool, entry.changes);
            driver_.pool_made(entry);
            table_.note(entry,
                        {.what = HistoryEntry::What::resized, .at = table_.now(), .count = request.count});
        }
        Effects effects(entry.changes);
        entry.pool->set(table_.now(), request.count, settings_after(entry.pool->settings().get(), request),
                        effects);
        table_.pass_on(visit, effects);
        driver_.reply_when_committed(visit, to, counts(*entry.pool));
    });
}

void Service::resize(const PoolId& pool, std::int64_t by, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this, by](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        const std::int64_t count = entry.pool->count() + by;
        if (count < 0 || count > table_.limits().max_count)
            return driver_.reply_when_committed(visit, to, Refusal::count_out_of_range);
        Effects effects(entry.changes);
        entry.pool->set_count(table_.now(), static_cast<unsigned>(count), effects);
        table_.pass_on(visit, effects);
        driver_.reply_when_committed(visit, to, counts(*entry.pool));
    });
}

void Service::inspect(const PoolId& pool, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this](const Visit& visit, const Reply& to) {
        if (!visit.entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        table_.bring_up_to_date(visit);
        driver_.reply_when_committed(visit, to, counts(*visit.entry.pool));
    });
}

void Service::list_holders(const PoolId& pool, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this](const Visit& visit, const Reply& to) {
        if (!visit.entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        table_.bring_up_to_date(visit);
        driver_.reply_when_committed(visit, to, view_of(*visit.entry.pool, table_.now()));
    });
}

void Service::look_back(const PoolId& pool, const HistoryQuery& query, Reply reply) {
    list_holders(pool, [this, pool, query, reply = std::move(reply)](const Answer& answer) {
        const auto* view = std::get_if<std::shared_ptr<const PoolView>>(&answer);
        if (!view) return reply(answer);
        table_.history()->ask(pool, *view, query, reply);
    });
}

void Service::list_slots(const PoolId& pool, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this](const Visit& visit, const Reply& to) {
        const auto& pool_used = visit.entry.pool;
        if (!pool_used) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        driver_.reply_when_committed(visit, to, SlotsListed{pool_used->count(), pool_used->settings()});
    });
}

void Service::list_pools(Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    parts_->lists.add(std::move(reply));
}

void Service::copy_store(Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    parts_->copies.add(std::move(reply));
}

void Service::remove(const PoolId& pool, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, PoolDeleted{false});
        Effects effects(entry.changes);
        const TimePoint now = table_.now();
        effects.past.push_back(
            {.what = HistoryEntry::What::resized, .at = now, .count_before = entry.pool->count()});
        for (const Ticket ticket : entry.pool->dissolve(now, effects))
            driver_.reply_to_waiter(entry, ticket, Refusal::no_such_pool);
        entry.fence = entry.pool->fence();
        entry.changes = Changes{.cleared = true, .fence = entry.fence};
        table_.pass_on(visit, effects);
        entry.pool.reset();
        driver_.pool_removed(entry);
        driver_.reply_when_committed(visit, to, PoolDeleted{true});
    });
}

void Service::borrow(const PoolId& pool, Ticket ticket, const wire::BorrowRequest& request, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    const Claim claim = claim_of(request, ticket, table_.now(), table_.limits());
    table_.perform(pool, ticket, reply,
                   [this, claim, is_extended = request.extended](const Visit& visit, const Reply& to) {
                       if (!visit.entry.pool)
                           return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
                       borrow(visit, claim, {to, is_extended});
                   });
}

void Service::borrow(const Visit& visit, const Claim& claim, WaitingCall call) {
    Entry& entry = visit.entry;
    Pool& pool = *entry.pool;
    const TimePoint now = table_.now();
    if (claim.chosen && !table_.chosen_ids().take(claim.lease, visit.pool, now))
        return driver_.reply_now(visit, call.reply, Refusal::lease_id_in_use);
    Effects effects(entry.changes);
    const auto borrowed = pool.borrow(now, claim, effects);
    table_.pass_on(visit, effects);
    if (const auto* held = std::get_if<Pool::Held>(&borrowed)) {
        driver_.reply_when_committed(visit, call.reply, granted(pool, held->lease, now, call.is_extended));
    } else if (const auto* refused = std::get_if<Pool::Unavailable>(&borrowed)) {
        table_.note(entry, {.what = Happening::What::refusal});
        if (!call.is_extended) return driver_.reply_now(visit, call.reply, Refusal::no_resource);
        driver_.reply_now(visit, call.reply,
                          not_granted(pool, pool.forecast(now), refused->rank, claim.slots));
    } else if (claim.callback) {
        queue_callback(visit, claim, call.reply);
    } else if (table_.waiters() >= table_.limits().max_waiters && driver_.adds_waiter(entry)) {
        Effects after(entry.changes);
        pool.cancel(now, claim.lease, after);
        table_.pass_on(visit, after);
        driver_.reply_now(visit, call.reply, Refusal::too_many_waiters);
    } else if (table_.is_draining()) {
        pool.leave(now, claim.ticket, entry.changes);
        driver_.reply_now(visit, call.reply, Refusal::shutting_down);
    } else {
        entry.waiters.emplace(claim.ticket, std::move(call));
        driver_.wait_begun(entry, claim);
    }
}

/// The claim has its place, or its slot.
void Service::queue_callback(const Visit& visit, const Claim& claim, const Reply& reply) {
    Pool& pool = *visit.entry.pool;
    const TimePoint now = table_.now();
    const Waiter* const waiter = pool.waiter_for(claim.lease);
    if (!waiter)
        return driver_.reply_when_committed(
            visit, reply, CallbackQueued{claim.lease, 1, pool.waiting() + 1, Duration::zero()});
    // With a shared store, the waiters of other servers count too.
    const std::size_t most = table_.limits().max_waiters;
    if ((table_.waiters() >= most || pool.waiting() > most) && driver_.adds_waiter(visit.entry)) {
        Effects effects(visit.entry.changes);
        pool.cancel(now, claim.lease, effects);
        table_.pass_on(visit, effects);
        return driver_.reply_now(visit, reply, Refusal::too_many_waiters);
    }
    const std::size_t rank = pool.rank_of(*waiter);
    driver_.reply_when_committed(
        visit, reply,
        CallbackQueued{claim.lease, rank, pool.waiting(), pool.eta(pool.forecast(now), rank, claim.slots)});
}

void Service::keep_alive(const PoolId& pool, const LeaseId& lease, Duration ttl, Reply reply,
                         std::optional<std::uint64_t> fence) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    const Duration length = std::min(ttl, table_.limits().max_ttl);
    table_.perform(pool, no_ticket, reply, [this, lease, length, fence](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, LeaseRenewed{});
        const TimePoint now = table_.now();
        Effects effects(entry.changes);
        const auto kept = entry.pool->keep_alive(now, lease, length, effects, fence);
        table_.pass_on(visit, effects);
        if (const auto* renewed = std::get_if<Lease>(&kept)) {
            driver_.reply_when_committed(visit, to, LeaseRenewed{*renewed, renewed->expires_at - now});
        } else if (std::holds_alternative<Pool::NotHeld>(kept)) {
            driver_.reply_when_committed(visit, to, LeaseRenewed{});
        } else {
            driver_.reply_when_committed(visit, to, Refusal::not_renewable);
        }
    });
}

void Service::give_back(const PoolId& pool, const LeaseId& lease, Reply reply,
                        std::optional<std::uint64_t> fence) {
    table_.perform(pool, no_ticket, reply, [this, lease, fence](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, LeaseReturned{false});
        Effects effects(entry.changes);
        const bool returned = entry.pool->give_back(table_.now(), lease, effects, fence);
        table_.pass_on(visit, effects);
        driver_.reply_when_committed(visit, to, LeaseReturned{returned});
    });
}

void Service::revoke(const PoolId& pool, const wire::RevokeRequest& request, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this, request](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        Effects effects(entry.changes);
        const bool revoked = entry.pool->revoke(table_.now(), request.position, request.fence, effects);
        table_.pass_on(visit, effects);
        driver_.reply_when_committed(visit, to, LeaseRevoked{revoked});
    });
}

void Service::set_slot(const PoolId& pool, Position position, const wire::SlotRequest& request, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this, position, request](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        Effects effects(entry.changes);
        const bool is_there = request.out
                                  ? entry.pool->take_out(table_.now(), position, request.reason, effects)
                                  : entry.pool->put_back(table_.now(), position, effects);
        table_.pass_on(visit, effects);
        if (!is_there) return driver_.reply_when_committed(visit, to, Refusal::no_such_slot);
        SlotSet answer{.position = position};
        if (const OutOfService* out = entry.pool->out_of_service(position)) answer.out = *out;
        driver_.reply_when_committed(visit, to, answer);
    });
}

void Service::cancel(const PoolId& pool, const LeaseId& lease, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply,
                   [this, lease](const Visit& visit, const Reply& to) { cancel(visit, lease, to); });
}

void Service::cancel_waiter(const PoolId& pool, std::function<bool(const LeaseId&)> is_it, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply,
                   [this, is_it = std::move(is_it)](const Visit& visit, const Reply& to) {
                       const auto& pool_used = visit.entry.pool;
                       const Waiter* const waiter = pool_used ? pool_used->find_waiter(is_it) : nullptr;
                       if (!waiter) return driver_.reply_when_committed(visit, to, BorrowCancelled{false});
                       cancel(visit, LeaseId(waiter->claim.lease), to);
                   });
}

void Service::cancel(const Visit& visit, const LeaseId& lease, const Reply& reply) {
    Entry& entry = visit.entry;
    if (!entry.pool) return driver_.reply_when_committed(visit, reply, BorrowCancelled{false});
    Effects effects(entry.changes);
    const auto ticket = entry.pool->cancel(table_.now(), lease, effects);
    if (ticket && *ticket != no_ticket) driver_.reply_to_waiter(entry, *ticket, Refusal::cancelled);
    table_.pass_on(visit, effects);
    driver_.reply_when_committed(visit, reply, BorrowCancelled{ticket.has_value()});
}

void Service::list_callbacks(const PoolId& pool, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, no_ticket, reply, [this](const Visit& visit, const Reply& to) {
        if (!visit.entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        table_.bring_up_to_date(visit);
        driver_.reply_when_committed(visit, to, CallbacksListed{view_of(*visit.entry.pool, table_.now())});
    });
}

void Service::check_delivery(const PoolId& pool, const Pool::Grant& grant, Reply reply) {
    table_.perform(pool, no_ticket, reply, [this, grant](const Visit& visit, const Reply& to) {
        DeliveryState state;
        if (visit.entry.pool) {
            table_.bring_up_to_date(visit);
            if (const Lease* const lease = visit.entry.pool->to_call(grant))
                state.due = granted(*visit.entry.pool, *lease, table_.now(), true);
        }
        driver_.reply_when_committed(visit, to, state);
    });
}

void Service::end_attempt(const PoolId& pool, const Pool::Grant& grant, const AttemptEnd& end, Reply reply) {
    table_.perform(pool, no_ticket, reply, [this, grant, end](const Visit& visit, const Reply& to) {
        if (!visit.entry.pool) return driver_.reply_when_committed(visit, to, DeliveryState{});
        const TimePoint now = table_.now();
        Pool& it = *visit.entry.pool;
        Effects effects(visit.entry.changes);
        DeliveryState state;
        state.is_done = std::visit(
            Overloaded{[&](const CallAccepted&) { return it.call_accepted(now, grant, effects); },
                       [&](const CallGivenUp&) { return it.call_given_up(now, grant, effects); },
                       [&](const Delivery& next) { return it.put_off(now, grant, next, effects); }},
            end);
        table_.pass_on(visit, effects);
        if (const Lease* const lease = it.to_call(grant)) state.due = granted(it, *lease, now, true);
        driver_.reply_when_committed(visit, to, state);
    });
}

void Service::undelivered(const PoolId& pool, const Lease& lease) {
    driver_.answer_lost(pool, lease);
}

void Service::watch(const PoolId& pool, Ticket ticket, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, ticket, reply, [this, ticket](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        // A watcher that comes after drain() looked here would not be answered by it.
        if (table_.is_draining()) return driver_.reply_now(visit, to, Refusal::shutting_down);
        if (!entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        table_.bring_up_to_date(visit);
        if (!entry.watch) entry.watch = std::make_unique<Watch>();
        auto& watchers = entry.watch->watchers;
        if (watchers.empty()) entry.watch->shown = entry.pool->revision();
        // It may be done for the second time.
        std::erase_if(watchers, [&](const auto& watcher) { return watcher.first == ticket; });
        watchers.emplace_back(ticket, to);
        driver_.reply_when_committed(visit, to, view_of(*entry.pool, table_.now()));
    });
}

bool Service::leave(const PoolId& pool, Ticket ticket) {
    return table_.leave(pool, ticket);
}

bool Service::is_queued(const PoolId& pool, Ticket ticket) const {
    return table_.is_queued(pool, ticket);
}

}  // namespace sema
