#pragma once

#include "server/store/store.hpp"
#include "server/sync.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <vector>

namespace sema::shared {

/// Which of the other servers live. Times are of CLOCK_BOOTTIME. Any thread may call.
class Neighbours {
  public:
    /// For so long a heartbeat has to be missing, and was looked for. A server that was slow, or whose store
    /// was away, makes good in time.
    static constexpr Duration missing_limit = std::chrono::milliseconds(1500);
    /// A server that is lost, and that nobody has asked about for so long, is watched no longer.
    static constexpr Duration memory = std::chrono::minutes(10);

    /// Whether it is known to be lost. Watches it from now on.
    bool is_lost(ServerId server, Duration now);
    /// All that were asked about.
    std::vector<ServerId> watched() const;
    /// Takes what the store said of their heartbeats at `now`. Returns those that were lost since.
    std::vector<ServerId> take(const std::vector<ServerId>& asked, const std::vector<bool>& alive,
                               Duration now);
    /// Heartbeats that were missing so far prove nothing.
    void forgive();
    /// It has ended. False where nobody asked about it, or it is known.
    bool end(ServerId server);
    /// It counts as lost, whether or not anybody asked about it.
    void bury(ServerId server);
    /// When the first server that is missing will count as lost.
    std::optional<Duration> next_loss() const;

  private:
    struct Neighbour {
        bool lost = false;
        std::optional<Duration> missing_since;
        Duration asked_at{};
    };

    mutable Mutex mutex_;
    std::map<ServerId, Neighbour> all_ GUARDED_BY(mutex_);
};

}  // namespace sema::shared
