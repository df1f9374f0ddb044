#pragma once

#include "server/service/clock.hpp"
#include "server/store/store.hpp"

#include <cstddef>

namespace sema {

struct Migrated {
    std::size_t pools = 0;
    /// Live ones.
    std::size_t leases = 0;
};

/// Copies every pool with its settings, its live leases and the places of borrowers who can come back. What
/// is left of a lease at `from`'s time is left of it at `to`'s. Such a place is kept for `rejoin` from now
/// on. No server may use either store meanwhile; `from` is not changed.
///
/// Errors: `to` has pools already, in which case nothing is done to it; one of the stores fails, and `to` has
/// some of the pools.
Expected<Migrated> migrate(Store& from, const Clock& from_clock, Store& to, const Clock& to_clock,
                           Duration rejoin);

}  // namespace sema
