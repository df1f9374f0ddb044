#pragma once

#include "server/store/shared/engine.hpp"
#include "server/store/shared/interrupt.hpp"

#include <functional>
#include <optional>

namespace sema::shared {

/// Where an engine's announcements come from.
struct Source {
    /// Can be read once something is there; -1 where there is no subscription.
    std::function<int()> descriptor;
    /// Passes on what has come so far, without waiting, and returns whether that was anything. None: the
    /// subscription has ended.
    std::function<std::optional<bool>()> take;
};

/// Engine::wait() of an engine whose wake() and abandon() raise these two.
bool wait_for_announcements(const Engine& engine, Duration until, const Source& source, Interrupt& woken,
                            const Interrupt& abandoned);

}  // namespace sema::shared
