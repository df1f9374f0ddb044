#pragma once

#include "server/http/connection.hpp"
#include "server/http/engine.hpp"
#include "server/sync.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

namespace sema::http {

/// A thread with the connections that live on it.
class Worker {
  public:
    /// `routes` and `connections` (how many there are over all workers) must outlive the worker.
    Worker(Routes& routes, const Limits& limits, std::atomic<std::size_t>& connections);
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

    /// Any thread: brings the answer of `connection`'s call to it.
    void deliver(std::shared_ptr<Connection> connection, const Answer& answer);

    // The rest is for this worker's thread.
    void serve(Connection::Socket socket);
    void add(Connection& connection);
    void remove(Connection& connection);
    Engine& engine() { return engine_; }
    Routes& routes() { return routes_; }
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
    void watch_time();

    Routes& routes_;
    const Limits limits_;
    std::atomic<std::size_t>& connection_count_;
    Engine engine_;
    std::unordered_set<Connection*> connections_;
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

    /// Answers that this thread has for its own connections.
    std::vector<Delivery> own_;
    Mutex inbox_mutex_;
    /// Answers from other threads.
    std::vector<Delivery> inbox_ GUARDED_BY(inbox_mutex_);
};

}  // namespace sema::http
