#pragma once

#include "server/store/shared/clock_estimate.hpp"
#include "server/store/shared/engine.hpp"
#include "server/store/shared/neighbours.hpp"
#include "server/sync.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sema::shared {

/// What a server does beside its commits, in a thread of its own: it looks for the store where that is away,
/// shows that this server lives, watches over the others, hears of their changes, and reads the store's
/// clock.
///
/// Any thread may call, but for start() and stop(). They throw nothing and, those two aside, do not wait.
class Watch : private Announcements {
  public:
    /// `engine` has to outlive it.
    explicit Watch(Engine& engine) : engine_(engine) {}
    ~Watch() { stop(); }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    /// Finds the store, within 3 seconds. To be called once, before all else. A store that is unsafe is
    /// found, but not reachable().
    Result<void> start();
    /// Ends the thread; nobody is notified any more.
    void stop();

    void listen(StoreListener* listener);
    void follow(const PoolId& pool);
    void unfollow(const PoolId& pool);
    bool is_lost(ServerId server);
    /// From now on.
    void count_as_lost(ServerId server) { neighbours_.bury(server); }
    bool reachable() const { return reachable_; }
    std::uint64_t generation() const { return generation_; }
    TimePoint now() const;
    Duration unix_time(TimePoint point) const;

    /// Why it cannot be reached.
    std::string reason() const;
    /// A connection to it failed: it counts as away until it was found anew.
    void went_away(const std::string& why);
    /// A connection to it ended, as it does when the store was restarted.
    void connection_ended() { ++generation_; }

  private:
    void changed(const PoolId& pool, Version version, ServerId by) override;
    void ended(ServerId server) override;
    void handed(const PoolId& pool, const LoadResult& state) override;

    void run();
    Duration next_tick() const;
    void rest(Duration until);
    void sleep(Duration time);
    bool is_to_look() const;
    Result<void> look();
    Result<void> look_further();
    Result<void> subscribe();
    Result<void> tick();
    Result<void> take_clock(const ClockSample& sample);
    template <class Call>
    void notify(const Call& call);

    Engine& engine_;

    // Of the thread.
    bool subscribed_ = false;
    /// The generation when the subscription began.
    std::uint64_t subscribed_at_ = 0;
    ClockEstimate clock_;
    bool clock_is_doubtful_ = false;
    Duration last_tick_{};
    std::optional<Duration> last_heartbeat_;
    std::thread thread_;

    std::atomic<bool> stopping_{false};
    std::atomic<bool> reachable_{false};
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<Duration::rep> lead_{0};
    std::atomic<Duration::rep> offset_{0};
    mutable std::atomic<Duration::rep> latest_now_{0};
    Neighbours neighbours_;

    mutable Mutex mutex_;
    std::string reason_ GUARDED_BY(mutex_);
    bool look_again_ GUARDED_BY(mutex_) = false;
    std::set<PoolId> followed_ GUARDED_BY(mutex_);
    /// Pools to be followed, or no more, of which the engine does not know yet.
    std::vector<std::pair<PoolId, bool>> unsaid_ GUARDED_BY(mutex_);

    /// Held while the listener is called.
    Mutex listener_mutex_;
    StoreListener* listener_ GUARDED_BY(listener_mutex_) = nullptr;
};

}  // namespace sema::shared
