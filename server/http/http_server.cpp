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

std::string url(const tcp::endpoint& endpoint, const TlsContext* tls) {
    const std::string host = endpoint.address().to_string();
    return (tls ? "https://" : "http://") + (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" +
           std::to_string(endpoint.port());
}

// What to do about it; empty where that is not known.
std::string advice(const std::string& where, const std::string& setting, const error_code& error) {
    const std::string unix_prefix = "unix:";
    const bool is_file = where.starts_with(unix_prefix);
    if (error == asio::error::access_denied)
        return is_file ? " (choose a folder you may write to)" : " (choose a port above 1023)";
    if (error != asio::error::address_in_use) return "";
    std::error_code unknown;
    if (is_file && !std::filesystem::is_socket(where.substr(unix_prefix.size()), unknown))
        return " (what has that name is no socket: choose another one)";
    return " (another program listens there: stop it, or choose another address with " + setting + ")";
}

std::string name_of(const TcpAddress& address) {
    const bool is_v6 = address.host.find(':') != std::string::npos;
    return (is_v6 ? "[" + address.host + "]" : address.host) + ":" + address.port;
}

std::string name_of(const UnixAddress& address) {
    return "unix:" + address.path;
}

template <class Address>
Expected<void> cannot_listen(const Address& address, const error_code& error) {
    const std::string where = name_of(address);
    return failure("cannot listen on " + where + ": " + describe_network_error(error) +
                   advice(where, address.setting, error));
}

// A name may stand for several addresses, and the resolver may list one of them twice.
std::vector<tcp::endpoint> endpoints_of(const TcpAddress& address, asio::io_context& context,
                                        error_code& error) {
    tcp::resolver resolver(context);
    std::vector<tcp::endpoint> endpoints;
    for (const auto& entry : resolver.resolve(
             address.host, address.port, tcp::resolver::passive | tcp::resolver::numeric_service, error)) {
        if (std::find(endpoints.begin(), endpoints.end(), entry.endpoint()) == endpoints.end())
            endpoints.push_back(entry.endpoint());
    }
    return endpoints;
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

error_code bind(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
    error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (error) return error;
    acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor.bind(endpoint, error);
    return error;
}

error_code bind(Local::acceptor& acceptor, const Local::endpoint& endpoint) {
    error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.bind(endpoint, error);
    return error;
}

Expected<void> try_one(const TcpAddress& address) {
    asio::io_context context;
    error_code error;
    for (const tcp::endpoint& endpoint : endpoints_of(address, context, error)) {
        tcp::acceptor acceptor(context);
        error = bind(acceptor, endpoint);
        // Only listen() shows that another process listens.
        if (!error) acceptor.listen(1, error);
        if (error && !is_lacked_by_machine(error)) break;
        error.clear();
    }
    if (error) return cannot_listen(address, error);
    return {};
}

Expected<void> try_one(const UnixAddress& address) {
    asio::io_context context;
    error_code error;
    Local::socket(context).connect(Local::endpoint(address.path), error);
    if (!error) return cannot_listen(address, asio::error::address_in_use);
    return {};
}

}  // namespace

Expected<void> try_to_listen(const std::vector<ListenAddress>& addresses) {
    for (const ListenAddress& address : addresses) {
        auto done = std::visit([](const auto& any) { return try_one(any); }, address);
        if (!done) return done;
    }
    return {};
}

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

    ProtocolListener(HttpServer& server, Serves serves)
        : server_(server),
          serves_(serves),
          acceptor_(server.workers_.front()->context()),
          pause_(server.workers_.front()->context()) {}

    ~ProtocolListener() override { close(); }

    error_code bind(const Endpoint& endpoint) {
        const error_code error = http::bind(acceptor_, endpoint);
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

    /// Takes a socket that is bound and listens. Its file is not ours.
    error_code take_over(const Protocol& protocol, int given) {
        error_code error;
        acceptor_.assign(protocol, given, error);
        return error;
    }

    Endpoint endpoint() const { return acceptor_.local_endpoint(); }

    void start() override {
        Worker& worker = server_.next_worker();
        acceptor_.async_accept(worker.context(),
                               [this, &worker](const error_code& error, typename Protocol::socket socket) {
                                   if (error == asio::error::operation_aborted || !acceptor_.is_open())
                                       return;
                                   server_.accept_error_ = error.value();
                                   if (!error) {
                                       TlsSettings tls;
                                       if constexpr (std::is_same_v<Protocol, tcp>) {
                                           error_code ignored;
                                           socket.set_option(tcp::no_delay(true), ignored);
                                           if (server_.options_.tls) tls = server_.options_.tls->settings();
                                       }
                                       server_.serve(std::move(socket), std::move(tls), serves_, worker);
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
    const Serves serves_;
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

HttpServer::HttpServer(Routes& routes, const HttpOptions& options)
    : options_(options), max_connections_(options.max_connections) {
    for (unsigned i = 0; i < std::max(1U, options.threads); ++i) {
        const Observers observers{options.metrics ? &options.metrics->add_worker() : nullptr,
                                  options.access_log};
        workers_.push_back(std::make_unique<Worker>(routes, options.limits, connections_, observers));
    }
}

HttpServer::~HttpServer() {
    stop();
    listeners_.clear();
}

Expected<void> HttpServer::listen() {
    for (const int given : options_.given) {
        if (auto done = take_over(given); !done) return done;
    }
    const auto bind = [this](const ListenAddress& address, Serves serves, auto& addresses) {
        return std::visit([&](const auto& any) { return listen(any, serves, addresses); }, address);
    };
    const auto none = std::vector<ListenAddress>();
    for (const ListenAddress& address : options_.given.empty() ? options_.listen : none) {
        if (auto done = bind(address, options_.serves, addresses_); !done) return done;
    }
    if (!options_.dashboard) return {};
    return bind(*options_.dashboard, Serves::calls_and_dashboard, dashboard_addresses_);
}

Expected<void> HttpServer::listen(const TcpAddress& address, Serves serves,
                                  std::vector<std::string>& addresses) {
    error_code error;
    const auto endpoints = endpoints_of(address, workers_.front()->context(), error);
    if (error) return cannot_listen(address, error);
    const std::size_t before = listeners_.size();
    error_code lacked;
    for (const tcp::endpoint& endpoint : endpoints) {
        auto listener = std::make_unique<ProtocolListener<tcp>>(*this, serves);
        error = listener->bind(endpoint);
        if (is_lacked_by_machine(error)) {
            lacked = error;
            missing_addresses_.push_back(url(endpoint, options_.tls) + ": " + error.message());
            continue;
        }
        if (!error) error = listener->listen();
        if (error) return cannot_listen(address, error);
        addresses.push_back(url(listener->endpoint(), options_.tls));
        listeners_.push_back(std::move(listener));
    }
    if (listeners_.size() == before) return cannot_listen(address, lacked);
    return {};
}

Expected<void> HttpServer::listen(const UnixAddress& address, Serves serves,
                                  std::vector<std::string>& addresses) {
    const std::string where = name_of(address);
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
    auto listener = std::make_unique<ProtocolListener<Local>>(*this, serves);
    if (const error_code error = listener->bind(endpoint)) return cannot_listen(address, error);
    const auto& [mode, group] = options_.socket_access;
    constexpr uid_t same_owner = static_cast<uid_t>(-1);
    if (group && ::chown(address.path.c_str(), same_owner, *group) != 0)
        return failure("cannot give " + where + " to the group " + std::to_string(*group) + ": " +
                       last_error().message() + " (semad has to be a member of it)");
    if (mode && ::chmod(address.path.c_str(), *mode) != 0)
        return failure("cannot set the mode of " + where + ": " + last_error().message());
    if (const error_code error = listener->listen()) return cannot_listen(address, error);
    addresses.push_back(where);
    listeners_.push_back(std::move(listener));
    return {};
}

Expected<void> HttpServer::take_over(int given) {
    const auto of_socket = [given](int option) {
        int value = -1;
        socklen_t size = sizeof value;
        return ::getsockopt(given, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
    };
    const std::string which =
        "cannot listen on descriptor " + std::to_string(given) + ", which was given to semad";
    if (of_socket(SO_TYPE) != SOCK_STREAM || of_socket(SO_ACCEPTCONN) != 1)
        return failure(
            which +
            ": it is no stream socket that listens (in a socket unit: ListenStream=, without Accept=)");
    const int family = of_socket(SO_DOMAIN);
    const auto take = [&](const auto& protocol, const auto& name_of) -> Expected<void> {
        auto listener =
            std::make_unique<ProtocolListener<std::decay_t<decltype(protocol)>>>(*this, options_.serves);
        if (const error_code error = listener->take_over(protocol, given))
            return failure(which + ": " + describe_network_error(error));
        addresses_.push_back(name_of(listener->endpoint()));
        listeners_.push_back(std::move(listener));
        return {};
    };
    const auto url_of = [&](const tcp::endpoint& endpoint) { return url(endpoint, options_.tls); };
    if (family == AF_INET) return take(tcp::v4(), url_of);
    if (family == AF_INET6) return take(tcp::v6(), url_of);
    if (family == AF_UNIX) {
        return take(Local(), [](const Local::endpoint& endpoint) {
            std::string path = endpoint.path();
            // The NUL before an abstract name.
            if (!path.empty() && path.front() == '\0') path.front() = '@';
            return "unix:" + path;
        });
    }
    return failure(which + ": it is of no family that semad knows");
}

void HttpServer::report_life(std::chrono::microseconds interval, std::function<void()> alive) {
    pulses_.push_back(std::make_unique<Pulse>(workers_, interval, std::move(alive)));
}

void HttpServer::start() {
    for (const auto& pulse : pulses_)
        pulse->rest();
    for (const auto& listener : listeners_)
        listener->start();
    for (const auto& worker : workers_)
        worker->start();
}

bool HttpServer::is_alive(std::chrono::seconds lately) const {
    const auto oldest = std::chrono::steady_clock::now() - lately;
    return std::all_of(workers_.begin(), workers_.end(),
                       [&](const auto& worker) { return worker->last_seen() >= oldest; });
}

std::string HttpServer::listener_trouble() const {
    if (is_closed_) return "they are closed";
    if (const int error = accept_error_; error != 0)
        return "no connection can be taken: " + boost::system::system_category().message(error);
    if (connections_ >= max_connections_)
        return "all " + std::to_string(max_connections_) + " connections are in use";
    return "";
}

void HttpServer::drain() {
    is_closed_ = true;
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

void HttpServer::serve(Connection::Socket socket, TlsSettings tls, Serves serves, Worker& worker) {
    const bool is_one_too_many = connections_.fetch_add(1) >= max_connections_;
    // Without TLS there is none that would make way.
    if (is_one_too_many && !options_.tls) return refuse(std::move(socket), false, *workers_.front());
    asio::post(worker.context(), [this, is_one_too_many, serves, &worker, socket = std::move(socket),
                                  tls = std::move(tls)]() mutable {
        if (is_one_too_many && !worker.drop_oldest_handshake())
            return refuse(std::move(socket), tls != nullptr, worker);
        worker.serve(std::move(socket), std::move(tls), serves);
    });
}

/// `worker`: whose thread this is.
void HttpServer::refuse(Connection::Socket socket, bool speaks_tls, Worker& worker) {
    --connections_;
    // To say it within TLS would take a handshake.
    if (speaks_tls) return;
    if (auto* const counters = worker.observers().counters) counters->count(CallKind::other, 503);
    const std::string body = error_response(503, "too many connections").body;
    const std::string text =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
        "Connection: close\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body;
    error_code ignored;
    socket.write_some(asio::buffer(text), ignored);
}

Worker& HttpServer::next_worker() {
    return *workers_[next_++ % workers_.size()];
}

}  // namespace sema::http
