#pragma once

#include "server/store/store.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace sema::test {

/// A lease as a borrower would get it, with an id of its own.
inline Lease some_lease(Position position) {
    const TimePoint granted(std::chrono::hours(1) + std::chrono::seconds(position));
    return {LeaseId::random(), position, granted, granted + std::chrono::seconds(30),
            std::chrono::seconds(30)};
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
    ChangeOf& put(const Lease& lease) {
        change_.changes.slots[lease.position] = lease;
        return *this;
    }
    ChangeOf& drop(Position position) {
        change_.changes.slots[position] = std::nullopt;
        return *this;
    }

    operator PoolChange() const { return change_; }

  private:
    PoolChange change_;
};

inline ChangeOf change(PoolId pool) {
    return ChangeOf(pool);
}

inline bool committed(const CommitResult& result) {
    return std::holds_alternative<Committed>(result);
}

inline bool stale(const CommitResult& result) {
    return std::holds_alternative<Stale>(result);
}

/// The reason of a StoreFailure; empty when the call did not fail.
template <class Result>
std::string failure_text(const Result& result) {
    const auto* failure = std::get_if<StoreFailure>(&result);
    return failure ? failure->message : "";
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
