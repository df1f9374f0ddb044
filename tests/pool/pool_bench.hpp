#pragma once

#include "server/pool/pool.hpp"
#include "tests/support/catch.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sema::test {

inline constexpr TimePoint start{std::chrono::seconds(1'000'000)};

/// A pool with the bookkeeping that its caller does.
struct Bench {
    explicit Bench(unsigned count, PoolLimits with = {})
        : limits(with), pool(PoolRecord{1, count}, start, limits) {}
    explicit Bench(const PoolRecord& record, TimePoint now = start, PoolLimits with = {})
        : limits(with), pool(record, now, limits) {}
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;

    Pool::Borrowed borrow(TimePoint now, Duration ttl = std::chrono::seconds(60), Duration wait = {}) {
        return borrow(now, Claim{{}, LeaseId::random(), ttl, now + wait});
    }
    /// As `claim` says, with a ticket of its own.
    Pool::Borrowed borrow(TimePoint now, Claim claim) {
        ticket = claim.ticket = Ticket{next++};
        return pool.borrow(now, claim, anew());
    }
    /// REQUIRES: a slot is free.
    Lease granted(TimePoint now, Duration ttl = std::chrono::seconds(60)) {
        return std::get<Pool::Held>(borrow(now, ttl)).lease;
    }
    Lease granted(TimePoint now, const Claim& claim) {
        const auto borrowed = borrow(now, claim);
        REQUIRE(std::holds_alternative<Pool::Held>(borrowed));
        return std::get<Pool::Held>(borrowed).lease;
    }
    /// REQUIRES: none is.
    Ticket queued(TimePoint now, Duration wait, Duration ttl = std::chrono::seconds(60)) {
        REQUIRE(std::holds_alternative<Pool::Queued>(borrow(now, ttl, wait)));
        return ticket;
    }
    Ticket queued(TimePoint now, const Claim& claim) {
        REQUIRE(std::holds_alternative<Pool::Queued>(borrow(now, claim)));
        return ticket;
    }
    bool give_back(TimePoint now, LeaseId lease, std::optional<std::uint64_t> fence = {}) {
        return pool.give_back(now, lease, anew(), fence);
    }
    bool revoke(TimePoint now, Position position, std::optional<std::uint64_t> fence = {}) {
        return pool.revoke(now, position, fence, anew());
    }
    /// REQUIRES: the pool has that slot.
    void take_out(TimePoint now, Position position, std::optional<std::string> reason = {}) {
        REQUIRE(pool.take_out(now, position, reason, anew()));
    }
    void put_back(TimePoint now, Position position) { REQUIRE(pool.put_back(now, position, anew())); }
    /// When the lease ends then. REQUIRES: it is held, and can be kept alive.
    TimePoint kept_alive(TimePoint now, const LeaseId& lease, Duration ttl) {
        const auto kept = pool.keep_alive(now, lease, ttl, anew());
        REQUIRE(std::holds_alternative<Lease>(kept));
        return std::get<Lease>(kept).expires_at;
    }
    /// An answer that told of that grant is lost.
    void undelivered(TimePoint now, const Lease& lease) {
        pool.undelivered(now, {lease.id, lease.fence}, anew());
    }
    void set_count(TimePoint now, unsigned count) { pool.set_count(now, count, anew()); }
    void set(TimePoint now, const PoolSettings& settings) { pool.set(now, pool.count(), settings, anew()); }
    void advance_to(TimePoint now) { pool.advance_to(now, anew()); }
    void leave(TimePoint now, Ticket who) {
        REQUIRE(pool.leave(now, who, changes));
        pool.advance_to(now, anew());
    }
    void roll_back_to(TimePoint now, const PoolRecord& record) {
        changes = {};
        pool.roll_back_to(record, now, anew());
    }

    /// For the effects of the next call.
    Effects& anew() { return effects.emplace(changes); }

    std::vector<Ticket> served() const {
        std::vector<Ticket> tickets;
        for (const auto& granted : effects->granted)
            tickets.push_back(granted.ticket);
        return tickets;
    }
    std::vector<Ticket> gave_up() const {
        std::vector<Ticket> tickets;
        for (const auto& waiter : effects->gave_up)
            tickets.push_back(waiter.ticket);
        return tickets;
    }
    bool refused(TimePoint now) { return std::holds_alternative<Pool::Unavailable>(borrow(now)); }
    unsigned in_use(TimePoint now) {
        advance_to(now);
        return pool.in_use();
    }

    const PoolLimits limits;
    Pool pool;
    Changes changes;
    /// Of the last call. REQUIRES: there was one.
    std::optional<Effects> effects;
    Ticket ticket{};
    std::uint64_t next = 1;
};

using Tickets = std::vector<Ticket>;

}  // namespace sema::test
