#pragma once

#include "common/error.hpp"
#include "server/http/listen_address.hpp"
#include "server/http/worker.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sema::http {

struct HttpOptions {
    std::vector<ListenAddress> listen;
    /// Of all Unix sockets.
    SocketAccess socket_access;
    unsigned threads = 1;
    /// Connections above this are answered 503 and closed.
    std::size_t max_connections = 10'000;
    Limits limits;
};

/// The listening sockets and the threads behind them.
class HttpServer {
  public:
    HttpServer(Routes& routes, const HttpOptions& options);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    /// Binds every address. Afterwards clients can connect, and are served from start() on. A name may stand
    /// for addresses that this machine lacks, as long as one is left. The error names the address and why it
    /// cannot be had.
    Expected<void> listen();

    /// The addresses as clients write them: `http://127.0.0.1:7717`, `unix:/run/semad.sock`.
    const std::vector<std::string>& addresses() const { return addresses_; }
    /// What names stood for and this machine lacks, each with the reason.
    const std::vector<std::string>& missing_addresses() const { return missing_addresses_; }

    /// From start() on, calls `alive` once in every interval, from a thread that serves connections, and only
    /// while each of those threads does its work. To be called before start().
    void report_life(std::chrono::microseconds interval, std::function<void()> alive);

    void start();

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

    Expected<void> listen(const TcpAddress& address);
    Expected<void> listen(const UnixAddress& address);
    void serve(Connection::Socket socket, Worker& worker);
    Worker& next_worker();

    const HttpOptions options_;
    std::atomic<std::size_t> connections_{0};
    std::vector<std::unique_ptr<Worker>> workers_;
    std::size_t next_ = 0;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::vector<std::string> addresses_;
    std::vector<std::string> missing_addresses_;
    std::unique_ptr<Pulse> pulse_;
};

}  // namespace sema::http
