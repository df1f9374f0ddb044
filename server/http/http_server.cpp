#include "server/http/http_server.hpp"

#include "common/network_error.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

namespace sema::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

namespace {

// As many as the system allows: a whole CI farm may connect in the same instant.
constexpr int backlog = 4096;
// When the system has no descriptor or memory left for another connection.
constexpr std::chrono::milliseconds accept_pause(50);

std::string url(const tcp::endpoint& endpoint) {
    const std::string host = endpoint.address().to_string();
    return "http://" + (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" +
           std::to_string(endpoint.port());
}

// What to do about it; empty where that is not known.
std::string advice(const std::string& where, const error_code& error) {
    const std::string unix_prefix = "unix:";
    const bool is_file = where.starts_with(unix_prefix);
    if (error == asio::error::access_denied)
        return is_file ? " (choose a folder you may write to)" : " (choose a port above 1023)";
    if (error != asio::error::address_in_use) return "";
    std::error_code unknown;
    if (is_file && !std::filesystem::is_socket(where.substr(unix_prefix.size()), unknown))
        return " (what has that name is no socket: choose another one)";
    return " (another program listens there: stop it, or choose another address with --listen)";
}

Expected<void> cannot_listen(const std::string& where, const error_code& error) {
    return failure("cannot listen on " + where + ": " + describe_network_error(error) + advice(where, error));
}

// Its family of addresses, or this one of them.
bool is_lacked_by_machine(const error_code& error) {
    return error == asio::error::address_family_not_supported ||
           error == boost::system::errc::address_not_available;
}

error_code last_error() {
    return {errno, boost::system::system_category()};
}

/// The file of a Unix socket that was bound just now.
class SocketFile {
  public:
    explicit SocketFile(std::string path) : path_(std::move(path)) { stat(path_.c_str(), &bound_); }

    /// Unless another server has put its own there meanwhile.
    void remove() const {
        struct stat now {};
        if (stat(path_.c_str(), &now) != 0 || now.st_dev != bound_.st_dev || now.st_ino != bound_.st_ino)
            return;
        std::error_code ignored;
        std::filesystem::remove(path_, ignored);
    }

  private:
    std::string path_;
    struct stat bound_ {};
};

}  // namespace

class HttpServer::Listener {
  public:
    Listener() = default;
    virtual ~Listener() = default;
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    virtual void start() = 0;
    /// From the first worker's thread.
    virtual void close() = 0;
};

template <class Protocol>
class HttpServer::ProtocolListener final : public Listener {
  public:
    using Endpoint = typename Protocol::endpoint;

    explicit ProtocolListener(HttpServer& server)
        : server_(server),
          acceptor_(server.workers_.front()->context()),
          pause_(server.workers_.front()->context()) {}

    ~ProtocolListener() override { close(); }

    error_code bind(const Endpoint& endpoint) {
        error_code error;
        acceptor_.open(endpoint.protocol(), error);
        if (error) return error;
        if constexpr (std::is_same_v<Protocol, tcp>) {
            acceptor_.set_option(asio::socket_base::reuse_address(true), error);
            if (endpoint.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(true), error);
        }
        if (!error) acceptor_.bind(endpoint, error);
        if constexpr (std::is_same_v<Protocol, Local>) {
            if (!error) socket_file_ = SocketFile(endpoint.path());
        }
        return error;
    }

    /// Until then no client can connect. REQUIRES: it is bound.
    error_code listen() {
        error_code error;
        acceptor_.listen(backlog, error);
        return error;
    }

    Endpoint endpoint() const { return acceptor_.local_endpoint(); }

    void start() override {
        Worker& worker = server_.next_worker();
        acceptor_.async_accept(worker.context(),
                               [this, &worker](const error_code& error, typename Protocol::socket socket) {
                                   if (error == asio::error::operation_aborted || !acceptor_.is_open())
                                       return;
                                   if (!error) {
                                       if constexpr (std::is_same_v<Protocol, tcp>) {
                                           error_code ignored;
                                           socket.set_option(tcp::no_delay(true), ignored);
                                       }
                                       server_.serve(std::move(socket), worker);
                                       return start();
                                   }
                                   pause_.expires_after(accept_pause);
                                   pause_.async_wait([this](const error_code& stopped) {
                                       if (!stopped) start();
                                   });
                               });
    }

    void close() override {
        error_code ignored;
        acceptor_.close(ignored);
        pause_.cancel();
        if (socket_file_) socket_file_->remove();
        socket_file_.reset();
    }

  private:
    HttpServer& server_;
    typename Protocol::acceptor acceptor_;
    asio::steady_timer pause_;
    std::optional<SocketFile> socket_file_;
};

/// Goes round all workers, again and again: one that hangs stops it.
class HttpServer::Pulse {
  public:
    Pulse(const std::vector<std::unique_ptr<Worker>>& workers, std::chrono::microseconds interval,
          std::function<void()> alive)
        : workers_(workers),
          interval_(interval),
          alive_(std::move(alive)),
          timer_(workers.front()->context()) {}

    /// From the first worker's thread, or before that runs.
    void rest() {
        timer_.expires_after(interval_);
        timer_.async_wait([this](const error_code& stopped) {
            if (!stopped) visit(0);
        });
    }

  private:
    void visit(std::size_t worker) {
        asio::post(workers_[worker]->context(), [this, worker] {
            if (worker + 1 < workers_.size()) return visit(worker + 1);
            alive_();
            asio::post(workers_.front()->context(), [this] { rest(); });
        });
    }

    const std::vector<std::unique_ptr<Worker>>& workers_;
    const std::chrono::microseconds interval_;
    const std::function<void()> alive_;
    asio::steady_timer timer_;
};

HttpServer::HttpServer(Routes& routes, const HttpOptions& options) : options_(options) {
    for (unsigned i = 0; i < std::max(1U, options.threads); ++i) {
        workers_.push_back(std::make_unique<Worker>(routes, options.limits, connections_));
    }
}

HttpServer::~HttpServer() {
    stop();
    listeners_.clear();
}

Expected<void> HttpServer::listen() {
    for (const ListenAddress& address : options_.listen) {
        auto done = std::visit([this](const auto& any) { return listen(any); }, address);
        if (!done) return done;
    }
    return {};
}

Expected<void> HttpServer::listen(const TcpAddress& address) {
    const std::string where =
        (address.host.find(':') == std::string::npos ? address.host : "[" + address.host + "]") + ":" +
        address.port;
    error_code error;
    tcp::resolver resolver(workers_.front()->context());
    const auto found = resolver.resolve(address.host, address.port,
                                        tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (error) return cannot_listen(where, error);
    // A name may stand for several addresses, and the resolver may list one of them twice.
    std::vector<tcp::endpoint> endpoints;
    for (const auto& entry : found) {
        if (std::find(endpoints.begin(), endpoints.end(), entry.endpoint()) == endpoints.end()) {
            endpoints.push_back(entry.endpoint());
        }
    }
    const std::size_t before = listeners_.size();
    error_code lacked;
    for (const tcp::endpoint& endpoint : endpoints) {
        auto listener = std::make_unique<ProtocolListener<tcp>>(*this);
        error = listener->bind(endpoint);
        if (is_lacked_by_machine(error)) {
            lacked = error;
            missing_addresses_.push_back(url(endpoint) + ": " + error.message());
            continue;
        }
        if (!error) error = listener->listen();
        if (error) return cannot_listen(where, error);
        addresses_.push_back(url(listener->endpoint()));
        listeners_.push_back(std::move(listener));
    }
    if (listeners_.size() == before) return cannot_listen(where, lacked);
    return {};
}

Expected<void> HttpServer::listen(const UnixAddress& address) {
    const std::string where = "unix:" + address.path;
    if (address.path.size() >= sizeof(sockaddr_un::sun_path)) {
        return failure("cannot listen on " + where + ": the path is too long for a socket");
    }
    const Local::endpoint endpoint(address.path);
    // A socket that refuses connections is left from a server that was killed. Anything else stays.
    std::error_code ignored;
    if (std::filesystem::is_socket(address.path, ignored)) {
        error_code refused;
        Local::socket(workers_.front()->context()).connect(endpoint, refused);
        if (refused == asio::error::connection_refused) std::filesystem::remove(address.path, ignored);
    }
    auto listener = std::make_unique<ProtocolListener<Local>>(*this);
    if (const error_code error = listener->bind(endpoint)) return cannot_listen(where, error);
    const auto& [mode, group] = options_.socket_access;
    constexpr uid_t same_owner = static_cast<uid_t>(-1);
    if (group && ::chown(address.path.c_str(), same_owner, *group) != 0)
        return failure("cannot give " + where + " to the group " + std::to_string(*group) + ": " +
                       last_error().message() + " (semad has to be a member of it)");
    if (mode && ::chmod(address.path.c_str(), *mode) != 0)
        return failure("cannot set the mode of " + where + ": " + last_error().message());
    if (const error_code error = listener->listen()) return cannot_listen(where, error);
    addresses_.push_back(where);
    listeners_.push_back(std::move(listener));
    return {};
}

void HttpServer::report_life(std::chrono::microseconds interval, std::function<void()> alive) {
    pulse_ = std::make_unique<Pulse>(workers_, interval, std::move(alive));
}

void HttpServer::start() {
    if (pulse_) pulse_->rest();
    for (const auto& listener : listeners_)
        listener->start();
    for (const auto& worker : workers_)
        worker->start();
}

void HttpServer::drain() {
    asio::post(workers_.front()->context(), [this] {
        for (const auto& listener : listeners_)
            listener->close();
    });
    for (const auto& worker : workers_)
        worker->drain();
}

void HttpServer::wait_until_drained(std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (connections_ > 0 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

void HttpServer::stop() {
    for (const auto& worker : workers_)
        worker->stop();
}

void HttpServer::hand_out_rest() {
    for (const auto& worker : workers_)
        worker->hand_out_rest();
}

void HttpServer::serve(Connection::Socket socket, Worker& worker) {
    if (connections_.fetch_add(1) >= options_.max_connections) {
        --connections_;
        const std::string body = error_response(503, "too many connections").body;
        const std::string text =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
            "Connection: close\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + body;
        error_code ignored;
        socket.write_some(asio::buffer(text), ignored);
        return;
    }
    asio::post(worker.context(),
               [&worker, socket = std::move(socket)]() mutable { worker.serve(std::move(socket)); });
}

Worker& HttpServer::next_worker() {
    return *workers_[next_++ % workers_.size()];
}

}  // namespace sema::http
