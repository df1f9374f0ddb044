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

Claim claim_of(const wire::BorrowRequest& request, Ticket ticket, TimePoint now,
               const ServiceLimits& limits) {
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
    table_.perform(pool, Ticket{}, reply, [this, request](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        const ServiceLimits& limits = table_.limits();
        if (!entry.pool) {
            if (table_.pools() >= limits.max_pools)
                return driver_.reply_now(visit, to, Refusal::too_many_pools);
            entry.pool.emplace(request.count, entry.fence, limits.pool, entry.changes);
            driver_.pool_made(entry);
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
    table_.perform(pool, Ticket{}, reply, [this, by](const Visit& visit, const Reply& to) {
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
    table_.perform(pool, Ticket{}, reply, [this](const Visit& visit, const Reply& to) {
        if (!visit.entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        table_.bring_up_to_date(visit);
        driver_.reply_when_committed(visit, to, counts(*visit.entry.pool));
    });
}

void Service::list_holders(const PoolId& pool, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, Ticket{}, reply, [this](const Visit& visit, const Reply& to) {
        if (!visit.entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        table_.bring_up_to_date(visit);
        driver_.reply_when_committed(visit, to, view_of(*visit.entry.pool, table_.now()));
    });
}

void Service::list_pools(Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    parts_->lists.add(std::move(reply));
}

void Service::remove(const PoolId& pool, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, Ticket{}, reply, [this](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, PoolDeleted{false});
        Effects effects(entry.changes);
        for (const Ticket ticket : entry.pool->dissolve(effects))
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
        if (!call.is_extended) return driver_.reply_now(visit, call.reply, Refusal::no_resource);
        driver_.reply_now(visit, call.reply,
                          not_granted(pool, pool.forecast(now), refused->rank, claim.slots));
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

void Service::keep_alive(const PoolId& pool, const LeaseId& lease, Duration ttl, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    const Duration length = std::min(ttl, table_.limits().max_ttl);
    table_.perform(pool, Ticket{}, reply, [this, lease, length](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, LeaseRenewed{});
        const TimePoint now = table_.now();
        Effects effects(entry.changes);
        const auto kept = entry.pool->keep_alive(now, lease, length, effects);
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

void Service::give_back(const PoolId& pool, const LeaseId& lease, Reply reply) {
    table_.perform(pool, Ticket{}, reply, [this, lease](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, LeaseReturned{false});
        Effects effects(entry.changes);
        const bool returned = entry.pool->give_back(table_.now(), lease, effects);
        table_.pass_on(visit, effects);
        driver_.reply_when_committed(visit, to, LeaseReturned{returned});
    });
}

void Service::revoke(const PoolId& pool, Position position, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, Ticket{}, reply, [this, position](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        Effects effects(entry.changes);
        const bool revoked = entry.pool->revoke(table_.now(), position, effects);
        table_.pass_on(visit, effects);
        driver_.reply_when_committed(visit, to, LeaseRevoked{revoked});
    });
}

void Service::cancel(const PoolId& pool, const LeaseId& lease, Reply reply) {
    if (table_.is_draining()) return reply(Refusal::shutting_down);
    table_.perform(pool, Ticket{}, reply, [this, lease](const Visit& visit, const Reply& to) {
        Entry& entry = visit.entry;
        if (!entry.pool) return driver_.reply_when_committed(visit, to, BorrowCancelled{false});
        Effects effects(entry.changes);
        const auto ticket = entry.pool->cancel(table_.now(), lease, effects);
        if (ticket && *ticket != Ticket{}) driver_.reply_to_waiter(entry, *ticket, Refusal::cancelled);
        table_.pass_on(visit, effects);
        driver_.reply_when_committed(visit, to, BorrowCancelled{ticket.has_value()});
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

}  // namespace sema
