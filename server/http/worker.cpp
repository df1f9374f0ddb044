#include "server/http/worker.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include <array>
#include <ctime>
#include <utility>

namespace sema::http {

namespace asio = boost::asio;

namespace {

thread_local Worker* this_thread_worker = nullptr;

// Handlers that run before the disk is seen to. More than a thread has busy connections, as a rule.
constexpr int longest_round = 1024;
// One takes as long as some ten requests, with an RSA key as a hundred: with so few a round, a crowd that
// connects does not delay the clients that are connected.
constexpr int handshakes_a_round = 4;

}  // namespace

Worker::Worker(Routes& routes, const Limits& limits, std::atomic<std::size_t>& connections,
               const Observers& observers)
    : routes_(routes),
      limits_(limits),
      connection_count_(connections),
      observers_(observers),
      work_(context_.get_executor()),
      clock_tick_(context_) {}

Worker::~Worker() {
    stop();
}

void Worker::start() {
    watch_time();
    thread_ = std::thread([this] { run(); });
}

void Worker::stop() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
}

void Worker::hand_out_rest() {
    hand_out_inbox();
    while (hand_out_own()) {
    }
}

void Worker::drain() {
    asio::post(context_, [this] {
        draining_ = true;
        // A copy, since a connection that closes leaves the set.
        const std::vector<Connection*> all(connections_.begin(), connections_.end());
        for (Connection* connection : all)
            connection->drain();
    });
}

// First whatever is ready, then the disk, once for all of that. A client that sends one request after the
// other cannot keep the others waiting: the rounds are bounded.
void Worker::run() {
    this_thread_worker = this;
    bool more = false;
    while (!context_.stopped()) {
        if (!more) context_.run_one();
        for (int i = 0; i < longest_round && context_.poll_one() > 0; ++i) {
        }
        hand_out_own();
        more = routes_.settle();
        // After the answers there is more only where a request that came in one go with an answered one was
        // handled.
        if (hand_out_own() && (routes_.settle() || !own_.empty())) more = true;
        if (shake_hands()) more = true;
    }
}

/// Whether there is more to do.
bool Worker::shake_hands() {
    for (int i = 0; i < handshakes_a_round && !ready_handshakes_.empty(); ++i) {
        const auto connection = std::move(ready_handshakes_.front());
        ready_handshakes_.pop_front();
        connection->shake_hands();
    }
    return !ready_handshakes_.empty();
}

void Worker::deliver(std::shared_ptr<Connection> connection, const Answer& answer) {
    if (this_thread_worker == this) {
        own_.push_back({std::move(connection), answer});
        return;
    }
    bool is_first = false;
    {
        const MutexLock lock(inbox_mutex_);
        is_first = inbox_.empty();
        inbox_.push_back({std::move(connection), answer});
    }
    // One wake-up serves for a whole group of answers.
    if (is_first) asio::post(context_, [this] { hand_out_inbox(); });
}

void Worker::hand_out_inbox() {
    std::vector<Delivery> deliveries;
    {
        const MutexLock lock(inbox_mutex_);
        deliveries.swap(inbox_);
    }
    for (const auto& [connection, answer] : deliveries)
        connection->answered(answer);
}

/// False when there was nothing. Answers that come meanwhile are left for the next time.
bool Worker::hand_out_own() {
    const std::vector<Delivery> deliveries = std::exchange(own_, {});
    for (const auto& [connection, answer] : deliveries)
        connection->answered(answer);
    return !deliveries.empty();
}

void Worker::serve(Connection::Socket socket, TlsSettings tls, Serves serves) {
    std::make_shared<Connection>(*this, std::move(socket), std::move(tls), serves, limits_)->start();
}

std::list<Connection*>::iterator Worker::add_handshake(Connection& connection) {
    return handshakes_.insert(handshakes_.end(), &connection);
}

bool Worker::drop_oldest_handshake() {
    if (handshakes_.empty()) return false;
    handshakes_.front()->close();
    return true;
}

void Worker::queue_handshake(std::shared_ptr<Connection> connection) {
    ready_handshakes_.push_back(std::move(connection));
}

void Worker::add(Connection& connection) {
    connections_.insert(&connection);
}

void Worker::remove(Connection& connection) {
    connections_.erase(&connection);
    --connection_count_;
}

void Worker::watch_time() {
    last_seen_ = std::chrono::steady_clock::now();
    clock_tick_.expires_after(std::chrono::seconds(1));
    clock_tick_.async_wait([this](const boost::system::error_code& error) {
        if (error) return;
        const auto now = std::chrono::steady_clock::now();
        const std::vector<Connection*> all(connections_.begin(), connections_.end());
        for (Connection* connection : all)
            connection->check_time(now);
        watch_time();
    });
}

const std::string& Worker::date() {
    const std::time_t now = std::time(nullptr);
    if (now != date_time_) {
        std::tm parts{};
        gmtime_r(&now, &parts);
        std::array<char, 40> text{};
        date_.assign(text.data(),
                     std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts));
        date_time_ = now;
    }
    return date_;
}

std::shared_ptr<const std::string> Worker::event(const PoolId& pool,
                                                 const std::shared_ptr<const PoolView>& view) {
    auto event = view_.lock() == view ? event_.lock() : nullptr;
    if (!event) {
        event = std::make_shared<const std::string>(routes_.event(pool, *view));
        view_ = view;
        event_ = event;
    }
    return event;
}

}  // namespace sema::http
