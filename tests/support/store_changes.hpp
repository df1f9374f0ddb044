#pragma once

#include "server/store/store.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sema {

/// Alike in all that is stored.
inline bool same(const std::shared_ptr<const Holder>& a, const std::shared_ptr<const Holder>& b) {
    return a && b ? *a == *b : a == b;
}
inline bool same(const std::shared_ptr<const std::string>& a, const std::shared_ptr<const std::string>& b) {
    return a && b ? *a == *b : a == b;
}
inline bool same(const std::shared_ptr<const Delivery>& a, const std::shared_ptr<const Delivery>& b) {
    if (!a || !b) return a == b;
    return same(a->callback, b->callback) && a->attempts == b->attempts &&
           a->next_attempt == b->next_attempt && a->last_error == b->last_error;
}
inline bool operator==(const HeldSlot& a, const HeldSlot& b) {
    return a.lease == b.lease && a.position == b.position && a.granted_at == b.granted_at &&
           a.expires_at == b.expires_at && a.ttl == b.ttl && a.fence == b.fence && a.chosen == b.chosen &&
           same(a.holder, b.holder) && same(a.delivery, b.delivery) && a.waited == b.waited &&
           a.priority == b.priority;
}
inline bool operator==(const KeptPlace& a, const KeptPlace& b) {
    return a.lease == b.lease && a.priority == b.priority && a.arrival == b.arrival && a.slots == b.slots &&
           a.queued_at == b.queued_at && same(a.holder, b.holder) && same(a.callback, b.callback) &&
           a.ttl == b.ttl && (!a.callback || a.deadline == b.deadline);
}

}  // namespace sema

namespace sema::test {

/// A slot as a borrower would get it, of a lease with an id of its own.
inline HeldSlot some_slot(Position position) {
    const TimePoint granted(std::chrono::hours(1) + std::chrono::seconds(position));
    return {LeaseId::random(), position, granted, granted + std::chrono::seconds(30),
            std::chrono::seconds(30)};
}

/// A place of somebody's own.
inline KeptPlace some_place(std::uint64_t arrival) {
    return {LeaseId::random(), 0, arrival, 1, TimePoint(std::chrono::hours(1))};
}

/// A PoolChange, written as a sentence: `change(pool).from(3).to(4).count(2).put(lease)`.
class ChangeOf {
  public:
    explicit ChangeOf(PoolId pool) { change_.pool = pool; }

    ChangeOf& from(Version base) {
        change_.base = base;
        return *this;
    }
    ChangeOf& to(Version next) {
        change_.next = next;
        return *this;
    }
    ChangeOf& clear() {
        change_.changes.cleared = true;
        return *this;
    }
    ChangeOf& count(unsigned count) {
        change_.changes.count = count;
        return *this;
    }
    ChangeOf& put(const HeldSlot& slot) {
        change_.changes.slots[slot.position] = slot;
        return *this;
    }
    ChangeOf& fence(std::uint64_t fence) {
        change_.changes.fence = fence;
        return *this;
    }
    ChangeOf& set(PoolSettings settings) {
        change_.changes.settings = std::make_shared<const PoolSettings>(std::move(settings));
        return *this;
    }
    ChangeOf& queue(const KeptPlace& place) {
        change_.changes.places[place.lease] = place;
        return *this;
    }
    ChangeOf& unqueue(const LeaseId& lease) {
        change_.changes.places[lease] = std::nullopt;
        return *this;
    }
    ChangeOf& keep(ServerId keeper) {
        change_.changes.keeper = keeper;
        return *this;
    }
    ChangeOf& drop(Position position) {
        change_.changes.slots[position] = std::nullopt;
        return *this;
    }

    ChangeOf& take_out(Position position, const OutOfService& out) {
        change_.changes.out[position] = out;
        return *this;
    }
    ChangeOf& put_back(Position position) {
        change_.changes.out[position] = std::nullopt;
        return *this;
    }

    operator PoolChange() const { return change_; }

  private:
    PoolChange change_;
};

inline ChangeOf change(PoolId pool) {
    return ChangeOf(pool);
}

/// Every change.
inline bool committed(const std::vector<CommitResult>& results) {
    return std::all_of(results.begin(), results.end(),
                       [](const CommitResult& result) { return std::holds_alternative<Committed>(result); });
}

/// Some change.
inline bool stale(const std::vector<CommitResult>& results) {
    return std::any_of(results.begin(), results.end(),
                       [](const CommitResult& result) { return std::holds_alternative<Stale>(result); });
}

/// The reason of a StoreFailure; empty when the call did not fail.
template <class Result>
std::string failure_text(const Result& result) {
    const auto* failure = std::get_if<StoreFailure>(&result);
    return failure ? failure->message : "";
}

inline std::string failure_text(const std::vector<CommitResult>& results) {
    for (const CommitResult& result : results) {
        if (std::holds_alternative<StoreFailure>(result)) return failure_text(result);
    }
    return "";
}

/// The pool. Throws when it is absent or the load failed.
inline PoolRecord loaded(Store& store, const PoolId& pool) {
    LoadResult result = store.load(pool);
    if (auto* record = std::get_if<PoolRecord>(&result)) return std::move(*record);
    throw std::runtime_error(failure_text(result).empty() ? "the pool is absent" : failure_text(result));
}

inline bool absent(Store& store, const PoolId& pool) {
    return std::holds_alternative<Absent>(store.load(pool));
}

}  // namespace sema::test
