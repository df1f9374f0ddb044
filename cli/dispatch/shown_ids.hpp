#pragma once

#include "common/ids.hpp"

#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace sema {

/// The ids of tasks that messages may show, though they look like UUIDs: those that were added last. Any
/// thread.
class ShownIds {
  public:
    /// This pool's own id is never shown.
    explicit ShownIds(const PoolId& pool) : pool_(pool) {}

    void add(const std::string& id);
    /// Whether a word of a message is, or is part of, such an id.
    bool shows(std::string_view word) const;

  private:
    const PoolId pool_;
    mutable std::mutex mutex_;
    std::set<std::string> ids_;
    /// The oldest first.
    std::deque<std::string> order_;
};

}  // namespace sema
