#include "server/service/migrate.hpp"

#include "server/service/fresh_version.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace sema {
namespace {

constexpr std::size_t pools_per_batch = 100;

// Stands for the server that called borrowers, and is gone: the next one on the store takes over from it.
constexpr ServerId gone_server{1};

/// Carries points of one timeline over to another.
class Shift {
  public:
    Shift(TimePoint from_now, TimePoint to_now) : from_now_(from_now), by_(to_now - from_now) {}

    TimePoint now() const { return from_now_; }
    TimePoint operator()(TimePoint point) const { return point + by_; }

  private:
    TimePoint from_now_;
    Duration by_;
};

PoolChange copy_of(const PoolId& id, const PoolRecord& pool, const Shift& shift, Duration rejoin) {
    PoolChange change{.pool = id, .base = 0, .next = fresh_version(), .changes = {}};
    change.changes.count = pool.count;
    change.changes.fence = pool.fence;
    change.changes.settings = pool.settings;
    for (HeldSlot slot : pool.slots) {
        slot.granted_at = shift(slot.granted_at);
        slot.expires_at = shift(slot.expires_at);
        if (slot.full_end) slot.full_end = shift(*slot.full_end);
        if (slot.delivery) {
            auto delivery = std::make_shared<Delivery>(*slot.delivery);
            delivery->next_attempt = shift(delivery->next_attempt);
            slot.delivery = delivery;
            change.changes.keeper = gone_server;
        }
        change.changes.slots[slot.position] = slot;
    }
    for (KeptPlace place : pool.places) {
        // Nobody can answer the others any more.
        if (!place.chosen || place.cancelled) continue;
        place.queued_at = shift(place.queued_at);
        place.server = ServerId{};
        place.deadline = shift(place.callback ? place.deadline : shift.now() + rejoin);
        if (place.callback) change.changes.keeper = gone_server;
        change.changes.places[place.lease] = place;
    }
    for (const auto& [position, out] : pool.out)
        change.changes.out[position] = OutOfService{shift(out.since), out.reason};
    return change;
}

std::size_t live_leases(const PoolRecord& pool, TimePoint now) {
    std::set<LeaseId> live;
    for (const HeldSlot& slot : pool.slots) {
        if (slot.expires_at > now) live.insert(slot.lease);
    }
    return live.size();
}

}  // namespace

Expected<Migrated> migrate(Store& from, const Clock& from_clock, Store& to, const Clock& to_clock,
                           Duration rejoin) {
    const auto there = to.pools_after(std::nullopt, 1);
    if (!there) return tl::unexpected(there.error());
    if (!there->empty())
        return failure(
            "the store to migrate to has pools already: name an empty one, or empty it if they are what a "
            "migration that was broken off has left");

    // So that pools that are declared by name are found again.
    const auto seed = from.seed();
    if (!seed) return tl::unexpected(seed.error());
    if (*seed) {
        const auto kept = to.keep_seed(**seed);
        if (!kept) return tl::unexpected(kept.error());
        if (*kept != **seed)
            return failure(
                "the store to migrate to was in use before, and makes other ids for pools that are declared "
                "by "
                "name: name a new one");
    }

    const Shift shift(from_clock.now(), to_clock.now());
    Migrated migrated;
    std::optional<PoolId> last;
    while (true) {
        const auto ids = from.pools_after(last, pools_per_batch);
        if (!ids) return tl::unexpected(ids.error());
        if (ids->empty()) return migrated;
        last = ids->back();
        std::vector<PoolChange> changes;
        for (const PoolId& id : *ids) {
            const LoadResult found = from.load(id);
            if (const auto* broken = std::get_if<StoreFailure>(&found)) return tl::unexpected(*broken);
            const auto* pool = std::get_if<PoolRecord>(&found);
            if (!pool) continue;
            changes.push_back(copy_of(id, *pool, shift, rejoin));
            ++migrated.pools;
            migrated.leases += live_leases(*pool, shift.now());
        }
        for (const CommitResult& result : to.commit(changes, to_clock.anchor_to_store())) {
            if (std::holds_alternative<Committed>(result)) continue;
            const auto* broken = std::get_if<StoreFailure>(&result);
            return failure(
                (broken ? broken->message : "another program uses the store to migrate to") +
                " (only some pools were copied: empty the store to migrate to before the next attempt)");
        }
    }
}

}  // namespace sema
