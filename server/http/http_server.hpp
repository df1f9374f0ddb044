#pragma once

#include "common/error.hpp"
#include "server/http/listen_address.hpp"
#include "server/http/tls_context.hpp"
#include "server/http/worker.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sema::http {

struct HttpOptions {
    std::vector<ListenAddress> listen;
    /// Listening sockets that were made for us: where there are some, they take the place of `listen`. They
    /// are closed in the end, and their files stay.
    std::vector<int> given;
    /// What those serve.
    Serves serves = Serves::calls;
    /// One more address, which serves calls and the dashboard.
    std::optional<ListenAddress> dashboard;
    /// Of all Unix sockets.
    SocketAccess socket_access;
    unsigned threads = 1;
    /// Connections above this are answered 503 and closed. One that has not agreed upon TLS makes way for
    /// the next; of those above, the ones that speak TLS are closed unanswered.
    std::size_t max_connections = 10'000;
    /// Spoken over all that is not a Unix socket; null where nothing but HTTP is spoken. Must outlive the
    /// server.
    const TlsContext* tls = nullptr;
    /// Both outlive the server. Null: nothing is counted, or logged.
    HttpMetrics* metrics = nullptr;
    const AccessLog* access_log = nullptr;
    Limits limits;
};

/// Whether HttpServer::listen() would find the addresses free, as far as that shows without taking them.
/// Nothing is left of the try. The error is the one that listen() has.
Expected<void> try_to_listen(const std::vector<ListenAddress>& addresses);

/// The listening sockets and the threads behind them.
class HttpServer {
  public:
    HttpServer(Routes& routes, const HttpOptions& options);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    /// Binds every address, or takes over the sockets that were given. Afterwards clients can connect, and
    /// are served from start() on. A name may stand for addresses that this machine lacks, as long as one is
    /// left. The error names the address and why it cannot be had.
    Expected<void> listen();

    /// The addresses as clients write them: `http://127.0.0.1:7717`, `https://127.0.0.1:7717`,
    /// `unix:/run/semad.sock`.
    const std::vector<std::string>& addresses() const { return addresses_; }
    /// Those of HttpOptions::dashboard alone.
    const std::vector<std::string>& dashboard_addresses() const { return dashboard_addresses_; }
    /// What names stood for and this machine lacks, each with the reason.
    const std::vector<std::string>& missing_addresses() const { return missing_addresses_; }

    /// From start() on, calls `alive` once in every interval, from a thread that serves connections, and only
    /// while each of those threads does its work. To be called before start(), any number of times.
    void report_life(std::chrono::microseconds interval, std::function<void()> alive);

    void start();

    /// See HttpOptions. Those that there are stay.
    void set_max_connections(std::size_t max_connections) { max_connections_ = max_connections; }
    // Any thread.
    std::size_t connections() const { return connections_; }
    /// Whether each of the threads that serve was seen to do its work lately. One that was not hangs, or
    /// waits for a disk that does.
    bool is_alive(std::chrono::seconds lately = std::chrono::seconds(10)) const;
    /// Why no connections can be taken at the moment; empty where they can.
    std::string listener_trouble() const;

    /// Takes no more connections, and closes those there are as their calls end.
    void drain();
    /// Returns when all are closed, or after `patience`.
    void wait_until_drained(std::chrono::milliseconds patience);

    /// Ends the threads.
    void stop();

    /// Once it is stopped: takes in the answers that came since then, so that leases that reach no client are
    /// given back.
    void hand_out_rest();

  private:
    class Listener;
    class Pulse;
    template <class Protocol>
    class ProtocolListener;

    Expected<void> listen(const TcpAddress& address, Serves serves, std::vector<std::string>& addresses);
    Expected<void> listen(const UnixAddress& address, Serves serves, std::vector<std::string>& addresses);
    Expected<void> take_over(int given);
    void serve(Connection::Socket socket, TlsSettings tls, Serves serves, Worker& worker);
    void refuse(Connection::Socket socket, bool speaks_tls, Worker& worker);
    Worker& next_worker();

    const HttpOptions options_;
    std::atomic<std::size_t> connections_{0};
    std::atomic<std::size_t> max_connections_;
    std::atomic<bool> is_closed_{false};
    /// The system's reason for which no connection was taken last; 0 where one was.
    std::atomic<int> accept_error_{0};
    std::vector<std::unique_ptr<Worker>> workers_;
    std::size_t next_ = 0;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::vector<std::string> addresses_;
    std::vector<std::string> dashboard_addresses_;
    std::vector<std::string> missing_addresses_;
    std::vector<std::unique_ptr<Pulse>> pulses_;
};

}  // namespace sema::http
