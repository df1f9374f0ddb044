#pragma once

#include "server/store/redis/clock.hpp"
#include "server/store/redis/master.hpp"
#include "server/sync.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sema::redis {

/// What a handle does beside its commits, in a thread and over connections of its own: it looks for the store
/// and tells where it is, listens to the other servers and watches over them, shows that this one lives, and
/// reads the store's clock.
///
/// Any thread may call, but for start() and the destructor.
class Watch {
  public:
    explicit Watch(const RedisStoreOptions& options);
    /// Tells the others that this server is gone.
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    /// Finds the store, within 3 seconds. To be called once, before all else. One that lacks replicas is
    /// found, but not reachable().
    Outcome<void> start();

    ServerId self() const { return self_; }
    void listen(StoreListener* listener);
    void follow(const PoolId& pool);
    void unfollow(const PoolId& pool);
    bool is_lost(ServerId server);
    /// From now on, by its number in hexadecimal.
    void count_as_lost(std::string_view name);
    bool reachable() const { return reachable_; }
    std::uint64_t generation() const { return generation_; }
    TimePoint now() const;
    Duration unix_time(TimePoint point) const;

    /// Where the store was last found.
    Endpoint endpoint() const;
    /// Why it cannot be reached.
    std::string reason() const;
    /// Somebody's connection to it failed: it counts as away until it was found anew.
    void went_away(const std::string& why);
    /// A connection to it ended, as it does when the store was restarted.
    void connection_ended() { ++generation_; }

  private:
    /// A server that was asked about. Times are of CLOCK_BOOTTIME.
    struct Neighbour {
        bool lost = false;
        std::optional<Duration> missing_since;
        Duration asked_at{};
    };

    void run();
    void wait_until(Deadline deadline);
    template <class Condition>
    bool run_until(const Condition& condition, Deadline deadline);
    Outcome<void> look();
    Outcome<void> look_further();
    Outcome<void> prepare();
    Outcome<void> subscribe();
    Outcome<void> tick();
    Outcome<void> take_clock(const Reply& answer, Duration sent, Duration received);
    Outcome<void> correct_clock(std::uint64_t epoch, std::uint64_t next_epoch);
    void take_heartbeats(const std::vector<ServerId>& asked, const Reply& answer, Duration now);
    void take_message(const Reply& message);
    void take_farewell(std::string_view text);
    void say_farewell();
    Deadline next_tick() const;
    void send_to_subscriber(std::initializer_list<std::string_view> words);
    template <class Call>
    void tell(const Call& call);
    template <class Task>
    void post(Task task);

    const RedisStoreOptions options_;
    const ServerId self_;
    const std::string heartbeat_key_;

    // Of the thread.
    boost::asio::io_context io_{1};
    boost::asio::steady_timer alarm_{io_};
    std::atomic<bool> stopping_{false};
    std::atomic<bool> abandoned_{false};
    MasterFinder finder_{options_, io_, &abandoned_};
    Connection main_{io_, &abandoned_};
    std::unique_ptr<Connection> subscriber_;
    bool subscribed_ = false;
    unsigned silent_ticks_ = 0;
    ClockEstimate clock_;
    bool clock_is_doubtful_ = false;
    Deadline last_tick_;
    std::optional<Duration> last_heartbeat_;
    bool is_registered_ = false;
    std::optional<Duration> next_suspicion_;
    std::thread thread_;

    std::atomic<bool> reachable_{false};
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<Duration::rep> lead_{0};
    std::atomic<Duration::rep> offset_{0};
    mutable std::atomic<Duration::rep> latest_now_{0};

    mutable Mutex mutex_;
    Endpoint endpoint_ GUARDED_BY(mutex_);
    std::string reason_ GUARDED_BY(mutex_);
    bool look_again_ GUARDED_BY(mutex_) = false;
    std::set<PoolId> followed_ GUARDED_BY(mutex_);
    std::map<ServerId, Neighbour> neighbours_ GUARDED_BY(mutex_);

    /// Held while the listener is called.
    Mutex listener_mutex_;
    StoreListener* listener_ GUARDED_BY(listener_mutex_) = nullptr;
};

/// CLOCK_BOOTTIME: unlike the steady clock, it does not stand still while the machine sleeps.
Duration boot_time();

}  // namespace sema::redis
