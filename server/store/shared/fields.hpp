#pragma once

#include "server/store/store.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sema::shared {

// A pool as texts by name, for engines that keep it so. A new setting, or a new member of a row, is none of
// theirs.
//
//     c          the count
//     f          the fence
//     t          the settings
//     sPOSITION  the lease that holds the slot
//     pLEASE     the place of that lease in the queue
//     oPOSITION  that the slot is out of service
//     k          the keeper, where there is one
//
// Other names of one letter are the engine's own. Numbers are in decimal. A row is one text of parts between
// spaces; texts of other people come last, each with its length before, so that any byte may stand in them.

/// What a change does to a pool's fields, but for the version.
struct FieldChanges {
    /// Names and values by turns.
    std::vector<std::string> set;
    std::vector<std::string> removed;
};

FieldChanges fields_of(const Changes& changes);

/// Takes field after field of a pool.
class PoolFields {
  public:
    /// False for one that was not written like this.
    bool take(std::string_view name, std::string_view value);

    /// The pool at that version; 0: that it is not there. Nothing where what was taken does not make sense.
    std::optional<LoadResult> result(Version version) &&;

  private:
    PoolRecord record_;
    std::optional<unsigned> count_;
};

/// The failure of a pool that was not written like this.
StoreFailure damaged();

}  // namespace sema::shared
