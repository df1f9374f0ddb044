#pragma once

#include "server/http/access_log.hpp"
#include "server/http/connection.hpp"
#include "server/http/engine.hpp"
#include "server/http/http_metrics.hpp"
#include "server/sync.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

namespace sema::http {

/// Where the requests that a worker answers are counted and logged. Null: nowhere.
struct Observers {
    CallCounters* counters = nullptr;
    const AccessLog* access_log = nullptr;
};

/// A thread with the connections that live on it.
class Worker {
  public:
    /// `routes` and `connections` (how many there are over all workers) must outlive the worker.
    Worker(Routes& routes, const Limits& limits, std::atomic<std::size_t>& connections,
           const Observers& observers);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    void start();
    /// Any thread. What was not finished by drain() is dropped, but for answers under way.
    void stop();
    /// Once it is stopped: brings the answers that came since then, so that leases that reach no client are
    /// given back.
    void hand_out_rest();
    /// Any thread: each connection finishes the call under way and closes.
    void drain();

    boost::asio::io_context& context() { return context_; }

    /// Any thread: when this one was last seen to do its work, which it is once a second.
    std::chrono::steady_clock::time_point last_seen() const { return last_seen_; }

    /// Any thread: brings the answer of `connection`'s call to it.
    void deliver(std::shared_ptr<Connection> connection, const Answer& answer);

    // The rest is for this worker's thread.
    void serve(Connection::Socket socket, TlsSettings tls, Serves serves);
    void add(Connection& connection);
    void remove(Connection& connection);
    /// Of those that have not agreed upon TLS yet. Returns where to remove it from.
    std::list<Connection*>::iterator add_handshake(Connection& connection);
    void remove_handshake(std::list<Connection*>::iterator handshake) { handshakes_.erase(handshake); }
    /// Closes the one that came first of those; false where there is none.
    bool drop_oldest_handshake();
    /// The next bytes of its handshake are there. When its turn comes, its shake_hands() is called.
    void queue_handshake(std::shared_ptr<Connection> connection);
    Engine& engine() { return engine_; }
    Routes& routes() { return routes_; }
    const Observers& observers() const { return observers_; }
    bool draining() const { return draining_; }
    /// The Date header's value (RFC 9110, section 6.6.1), made anew each second.
    const std::string& date();
    /// The view as an event. All watchers here share the text.
    std::shared_ptr<const std::string> event(const PoolId& pool, const std::shared_ptr<const PoolView>& view);

  private:
    struct Delivery {
        std::shared_ptr<Connection> connection;
        Answer answer;
    };

    void run();
    void hand_out_inbox();
    bool hand_out_own();
    bool shake_hands();
    void watch_time();

    Routes& routes_;
    const Limits limits_;
    std::atomic<std::size_t>& connection_count_;
    const Observers observers_;
    std::atomic<std::chrono::steady_clock::time_point> last_seen_{};
    Engine engine_;
    std::unordered_set<Connection*> connections_;
    /// In the order in which they came.
    std::list<Connection*> handshakes_;
    bool draining_ = false;
    std::time_t date_time_ = 0;
    std::string date_;
    /// The latest, and its text.
    std::weak_ptr<const PoolView> view_;
    std::weak_ptr<const std::string> event_;
    // Behind what connections use: with it go the last of them.
    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    boost::asio::steady_timer clock_tick_;
    std::thread thread_;
    std::deque<std::shared_ptr<Connection>> ready_handshakes_;

    /// Answers that this thread has for its own connections.
    std::vector<Delivery> own_;
    Mutex inbox_mutex_;
    /// Answers from other threads.
    std::vector<Delivery> inbox_ GUARDED_BY(inbox_mutex_);
};

}  // namespace sema::http
