#pragma once

#include "client/alarm.hpp"
#include "client/call.hpp"

#include <curl/curl.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sema {

/// The I/O thread of a program's client: calls on the servers, as many at a time as there are, timers, and
/// jobs that other threads leave. All functions are for its own thread only, where nothing else is said.
class Engine {
  public:
    /// Names a call that is under way; never the same twice. 0 is none.
    using Ticket = std::uint64_t;
    /// Names a timer.
    struct Timer {
        Moment when = BootClock::never;
        std::uint64_t number = 0;
        bool operator<(const Timer& other) const {
            return std::tie(when, number) < std::tie(other.when, other.number);
        }
    };

    /// Throws std::system_error where there are no descriptors to be had.
    explicit Engine(std::vector<ServerAddress> servers);
    /// REQUIRES: it has ended, or never begun.
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // ---- any thread

    /// Begins the thread, with all signals blocked. Throws std::system_error where there is none to be had.
    void begin();
    /// Has the thread run a job, after those that were left before. False where it takes no more of them.
    bool post(std::function<void()> job);
    /// Whether it still takes jobs.
    bool is_open() const {
        const std::lock_guard lock(mutex_);
        return !is_closed_;
    }
    bool is_own_thread() const { return std::this_thread::get_id() == id_; }
    /// Waits for the thread to end, after finish().
    void join() { thread_->join(); }
    /// In a child process the thread is not there, and nothing is to be waited for.
    void forget_thread() { static_cast<void>(thread_.release()); }

    // ---- its own thread

    Servers& servers() { return servers_; }
    /// How many descriptors the process might have when this was made.
    std::size_t descriptors() const { return descriptors_; }

    enum class Urgency {
        urgent,   ///< goes out at once
        waiting,  ///< goes out at once, and is interrupted where another kind of call lacks a descriptor
        usual,    ///< a bounded number of these is under way at a time
    };
    /// Makes a call; `done` gets its result, or nothing where the engine ends before.
    template <class Result>
    Ticket start(std::unique_ptr<Call<Result>> call, Urgency urgency,
                 std::function<void(std::optional<Result>)> done) {
        return start(std::make_unique<CallErrand<Result>>(std::move(call), std::move(done)), urgency);
    }
    /// Gives a call up, whose `done` is not called then. Its connection is closed. 0 or one that is over is
    /// none.
    void drop(Ticket ticket);

    /// Calls a function at a moment, once.
    Timer at(Moment when, std::function<void()> function);
    void cancel(const Timer& timer) { timers_.erase(timer); }

    /// The thread ends once the jobs that it has by then are done, and takes no more of them. Calls that are
    /// under way are given up, and timers are dropped.
    void finish() { is_finishing_ = true; }

  private:
    /// A call, whatever its result is.
    class Errand {
      public:
        virtual ~Errand() = default;
        virtual std::size_t server() const = 0;
        virtual Request request() = 0;
        /// False where another request is to be sent.
        virtual bool take(Exchange exchange) = 0;
        virtual void give_up() = 0;
        /// Its connection is closed; its user may try again later.
        virtual void interrupt() = 0;
    };
    template <class Result>
    class CallErrand : public Errand {
      public:
        CallErrand(std::unique_ptr<Call<Result>> call, std::function<void(std::optional<Result>)> done)
            : call_(std::move(call)), done_(std::move(done)) {}
        std::size_t server() const override { return call_->server(); }
        Request request() override { return call_->request(); }
        bool take(Exchange exchange) override {
            auto result = call_->take(std::move(exchange));
            if (!result) return false;
            done_(std::move(result));
            return true;
        }
        void give_up() override { done_(std::nullopt); }
        void interrupt() override { done_(Result(Unreachable{"there are too few file descriptors"})); }

      private:
        std::unique_ptr<Call<Result>> call_;
        std::function<void(std::optional<Result>)> done_;
    };
    struct Entry {
        std::unique_ptr<Errand> errand;
        Urgency urgency;
        /// None while it waits for its turn.
        std::unique_ptr<Transfer> transfer{};
        std::size_t server = 0;
    };

    Ticket start(std::unique_ptr<Errand> errand, Urgency urgency);
    void run();
    void run_jobs();
    void run_timers();
    void run_transfers();
    void end();
    void wait();
    void send(Ticket ticket, Entry& entry);
    void take_in(Ticket ticket, CURLcode code);
    std::unique_ptr<Transfer> take_off(Entry& entry);
    /// Sends a call again of which nothing was sent for want of descriptors, with those of calls that wait.
    /// False, and nothing is done, where there were descriptors, or no call waits.
    bool send_in_place_of_others(Ticket ticket, Entry& entry);
    void keep(std::unique_ptr<Transfer> transfer, std::size_t server);
    void send_waiting();

    Servers servers_;
    const std::size_t descriptors_;
    CURLM* multi_ = nullptr;
    Alarm alarm_;
    Moment alarm_at_ = BootClock::never;
    std::unique_ptr<std::thread> thread_;
    std::atomic<std::thread::id> id_{};

    mutable std::mutex mutex_;
    std::vector<std::function<void()>> jobs_;
    bool is_closed_ = false;

    Ticket last_ticket_ = 0;
    std::unordered_map<Ticket, Entry> calls_;
    std::unordered_map<CURL*, Ticket> tickets_;
    /// Of usual calls.
    std::deque<Ticket> waiting_;
    std::size_t usual_under_way_ = 0;
    /// For each server: handles that are not in use, and whether its name is to be looked up anew.
    struct PerServer {
        std::vector<std::unique_ptr<Transfer>> idle{};
        bool looks_up_next = false;
    };
    std::vector<PerServer> per_server_;
    std::map<Timer, std::function<void()>> timers_;
    std::uint64_t last_timer_ = 0;
    /// Whether calls were interrupted since libcurl had its last turn: what failed in that turn was sent
    /// before their descriptors were free.
    bool has_interrupted_ = false;
    bool is_finishing_ = false;
};

}  // namespace sema
