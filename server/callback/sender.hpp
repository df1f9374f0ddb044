#pragma once

#include "common/wire.hpp"
#include "server/callback/attempt.hpp"
#include "server/metrics/counter.hpp"
#include "server/metrics/text.hpp"
#include "server/service/caller.hpp"
#include "server/service/clock.hpp"
#include "server/service/service.hpp"
#include "server/sync.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace sema::callback {

/// How often and when is tried.
struct Patience {
    /// One attempt.
    Duration attempt = std::chrono::seconds(15);
    /// Between two attempts: doubled each time, up to the longest; each up to a quarter shorter or longer.
    Duration first_pause = std::chrono::milliseconds(500);
    Duration longest_pause = std::chrono::minutes(1);
};

/// Calls at a time: each takes some tens of kilobytes, and perhaps a thread that looks up a name.
inline constexpr unsigned most_calls = 128;
/// Of one call, at most: while a name is looked up libcurl has two, and the system's resolver others.
inline constexpr unsigned descriptors_per_call = 4;

/// Calls borrowers over HTTP, in a thread of its own. What it has to do is in the store: whatever becomes of
/// this process, each grant is delivered at least once, or its lease ends.
///
/// Before each attempt the service is asked whether the call is still to be made. Any status of 2xx
/// ends it well. Else it is tried again while half of the lease's time is left, and then the lease ends; 410
/// ends it at once. Many are called at a time, of one receiver some, and of one that does not answer two, so
/// that a slow one holds up no other. A call that has no turn until half of the lease's time is left is never
/// made, and the lease ends.
class Sender final : public Caller {
  public:
    /// `service` and `clock` must outlive the sender. `warn` is given a line for the log, without secrets. At
    /// most `places` calls are made at a time.
    Sender(Service& service, const Clock& clock, std::function<void(const std::string&)> warn,
           Patience patience = {}, unsigned places = most_calls);
    ~Sender() override;

    /// From now on these hold. Any thread.
    void set(RequestOptions options);
    /// Whether a borrower may be called like that; the error says what to do. Any thread.
    Expected<void> check(const wire::Callback& callback) const;

    void start();
    /// No attempt begins any more; those under way have so long. Returns at once.
    void drain(Duration patience);
    /// Waits for them, and ends the thread.
    void stop();

    bool knows(const PoolId& pool, const Pool::Grant& grant) const override;
    void call(const PoolId& pool, const LeaseGranted& granted) override;

    /// Any thread.
    void write_metrics(MetricsText& text) const;

  private:
    using Key = std::tuple<PoolId, LeaseId, std::uint64_t>;
    using Time = std::chrono::steady_clock::time_point;

    enum class Outcome { accepted, put_off, given_up, gone, no_turn };
    /// What came of an attempt, or of the wait for one, and has to be stored.
    struct End {
        AttemptEnd what;
        Outcome outcome;
        std::string error;
    };
    /// A grant that is to be delivered.
    struct Task {
        std::string receiver;
        std::string pool_name;
        std::shared_ptr<const Delivery> delivery;
        std::optional<End> end{};
        std::unique_ptr<Attempt> attempt{};
        /// It is among its line's `busy`.
        bool has_place = false;
        /// It is in its line's `next` with this.
        TimePoint due;
        /// It is in `wakes_` with this.
        TimePoint wakes_at;
        /// Of the lease.
        TimePoint expires_at;
        Duration ttl{};
    };
    /// Whether a receiver's last call was answered, whatever the answer was.
    enum class Standing { silent, unknown, answering };
    /// A receiver: a scheme, a host and a port.
    struct Line {
        /// Calls under way, or about to be.
        unsigned busy = 0;
        Standing standing = Standing::unknown;
        /// Those that are due are next, in their order.
        std::set<std::pair<TimePoint, Key>> next{};

        unsigned room() const;
    };
    using Lines = std::map<std::string, Line>;
    using Tasks = std::map<Key, Task>;
    /// How many calls are under way to receivers of that standing and worse ones.
    class Places {
      public:
        Places(const Lines& lines, unsigned most);
        void take(Standing standing, unsigned count);
        bool has_room(Standing standing) const;

      private:
        std::array<unsigned, 3> most_;
        std::array<unsigned, 3> taken_{};
    };
    struct New {
        Key key;
        LeaseGranted granted;
    };
    struct Answered {
        Key key;
        Answer answer;
    };
    struct FreeMulti {
        void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
    };

    void run();
    void put(std::variant<New, Answered> message);
    void take_messages();
    void take(New& message);
    void take(Answered& message);
    static void update(Task& task, const Lease& lease);
    void begin_due();
    void wake_due(const Places& places, TimePoint now);
    void begin(const Key& key, Task& task);
    void send(const Key& key, Task& task, const LeaseGranted& granted);
    void take_results();
    void end_attempt(const Key& key, Task& task, const Attempt::Result& result);
    void give_up(const Key& key, Task& task, Outcome outcome, const std::string& error);
    void end(const Key& key, Task& task, End end);
    void store_end(const Key& key, Task& task);
    void report(const Task& task, const End& end);
    void wait_until(const Key& key, Task& task, TimePoint due);
    void wake_at(const Key& key, Task& task, TimePoint time);
    void release(Task& task);
    void forget(const Key& key);
    std::chrono::milliseconds time_to_next() const;
    Duration pause_after(unsigned attempts);
    void count(Outcome outcome) { outcomes_[static_cast<std::size_t>(outcome)].add(); }
    Reply reply_for(const Key& key);
    std::shared_ptr<const RequestOptions> options() const;

    Service& service_;
    const Clock& clock_;
    const std::function<void(const std::string&)> warn_;
    const Patience patience_;
    const unsigned places_;
    std::unique_ptr<CURLM, FreeMulti> multi_;
    std::array<OwnCounter, 5> outcomes_;
    std::atomic<std::size_t> pending_{0};
    std::atomic<bool> stopping_{false};
    std::atomic<Time> stop_at_{Time::max()};

    mutable Mutex mutex_;
    std::shared_ptr<const RequestOptions> options_ GUARDED_BY(mutex_) = std::make_shared<RequestOptions>();
    std::vector<std::variant<New, Answered>> inbox_ GUARDED_BY(mutex_);
    /// Of tasks and of messages that will be some.
    std::set<Key> known_ GUARDED_BY(mutex_);

    // The thread's.
    Tasks tasks_;
    Lines lines_;
    /// Of tasks that wait for their turn, when that is too late; of those whose end the store did not take,
    /// when it is asked again.
    std::set<std::pair<TimePoint, Key>> wakes_;
    /// When the next call is due that may begin then.
    TimePoint begin_at_ = Timeline::never;
    unsigned under_way_ = 0;
    TimePoint find_at_ = Timeline::long_ago;
    std::minstd_rand random_{std::random_device()()};
    std::thread thread_;
};

}  // namespace sema::callback
