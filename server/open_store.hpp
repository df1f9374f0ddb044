#pragma once

#include "server/options.hpp"
#include "server/service/clock.hpp"
#include "server/store/history_store.hpp"
#include "server/store/store.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sema {

/// A store as the options name it.
struct OpenStore {
    std::unique_ptr<Store> store;
    /// The same, if other servers can use it too.
    SharedStore* shared = nullptr;
    std::unique_ptr<HistoryStore> history{};
    /// To be logged once we serve.
    std::vector<std::string> warnings{};
    /// Of a file of which `store` is what open_store() would make, in memory.
    std::shared_ptr<const void> lock{};
};

Expected<OpenStore> open_store(const StoreOption& option);

/// What open_store() would open, to be read only; nobody else can open a file meanwhile. A file is not
/// changed, and no store is made: that there is none is an error. One that servers share has this one among
/// them until it is closed.
Expected<OpenStore> read_store(const StoreOption& option);

/// What open_store() would warn of, where it would make the store in the database of a Redis or a PostgreSQL.
/// Nothing for one that is there, or cannot be looked at.
std::optional<std::vector<std::string>> warnings_of_new_store(const StoreOption& option);

/// That of a server which has the store open. `anchor` is the store's.
std::unique_ptr<Clock> make_clock(const OpenStore& opened, const std::optional<ClockAnchor>& anchor);

}  // namespace sema
