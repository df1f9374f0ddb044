#include "server/store/redis/connection.hpp"

#include "common/network_error.hpp"
#include "server/regular_file.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace sema::redis {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// "500 ms" says less than what was waited for.
constexpr const char* too_late = "no answer in time";
constexpr const char* hung_up = "it hung up";

// A name's resolution cannot be stopped: where it comes too late, its result is dropped when it comes.
struct Resolution {
    bool done = false;
    error_code error;
    std::vector<tcp::endpoint> places;
};

std::string system_reason(int number) {
    return describe_network_error(error_code(number, boost::system::system_category()));
}

std::string tls_reason() {
    const unsigned long number = ERR_peek_error();
    if (ERR_SYSTEM_ERROR(number)) return system_reason(ERR_GET_REASON(number));
    if (ERR_GET_REASON(number) == SSL_R_UNEXPECTED_EOF_WHILE_READING) return hung_up;
    if (ERR_GET_REASON(number) == SSL_R_WRONG_VERSION_NUMBER) return "it does not speak TLS";
    const char* const reason = ERR_reason_error_string(number);
    return reason ? reason : "it failed";
}

// Those of the system where `file` is empty.
Expected<void> load_authorities(SSL_CTX* context, const std::string& file) {
    const auto readable = file.empty() ? Expected<void>() : check_regular_file(file);
    if (readable) {
        const int done = file.empty() ? SSL_CTX_set_default_verify_paths(context)
                                      : SSL_CTX_load_verify_locations(context, file.c_str(), nullptr);
        if (done == 1) return {};
    }
    return failure("cannot read the certificates of " + (file.empty() ? "the system" : file) + ": " +
                   (readable ? tls_reason() : readable.error().message));
}

}  // namespace

Commands& Commands::begin(std::size_t words) {
    ++count_;
    length('*', words);
    return *this;
}

Commands& Commands::word(std::string_view text) {
    length('$', text.size());
    bytes_.append(text).append("\r\n");
    return *this;
}

Commands& Commands::add(std::initializer_list<std::string_view> words) {
    begin(words.size());
    for (const std::string_view text : words)
        word(text);
    return *this;
}

void Commands::length(char mark, std::size_t number) {
    char digits[24] = {mark};
    char* const end = std::to_chars(digits + 1, digits + sizeof digits, number).ptr;
    bytes_.append(&digits[0], end).append("\r\n");
}

std::string describe(const Endpoint& endpoint) {
    return endpoint.way == RedisAddress::Way::unix_socket ? endpoint.path : describe(endpoint.place);
}

Connection::Connection(int abandoned)
    : abandoned_(abandoned), resolving_(std::make_unique<asio::io_context>(1)) {}

void Connection::Free::operator()(redisReader* reader) const {
    redisReaderFree(reader);
}

void Connection::Free::operator()(SSL_CTX* context) const {
    SSL_CTX_free(context);
}

void Connection::Free::operator()(SSL* tls) const {
    SSL_free(tls);
}

Connection::~Connection() {
    close();
}

Expected<void> Connection::open(const Endpoint& endpoint, Deadline deadline) {
    close();
    endpoint_ = endpoint;
    reader_.reset(redisReaderCreate());
    Expected<void> opened =
        endpoint.way == RedisAddress::Way::unix_socket ? connect_unix(deadline) : connect_tcp(deadline);
    if (opened && endpoint.way == RedisAddress::Way::tls) opened = start_tls(deadline);
    if (!opened) close();
    return opened;
}

void Connection::close() {
    tls_.reset();
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
}

bool Connection::was_closed() const {
    if (socket_ < 0) return true;
    char byte = 0;
    const ssize_t size = ::recv(socket_, &byte, 1, MSG_PEEK);
    // Bytes that nobody asked for are the end of a TLS session, or of our understanding.
    return size >= 0 || (errno != EAGAIN && errno != EINTR);
}

Expected<void> Connection::send(const Commands& commands, Deadline deadline) {
    if (!is_open()) return failure(hung_up);
    std::string_view rest = commands.bytes();
    while (!rest.empty()) {
        const auto write = [&]() -> ssize_t {
            if (tls_) return SSL_write(tls_.get(), rest.data(), static_cast<int>(rest.size()));
            return ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
        };
        const auto size = repeat(write, POLLOUT, deadline);
        if (!size || *size == 0) {
            close();
            return size ? failure(too_late) : tl::unexpected(size.error());
        }
        rest.remove_prefix(*size);
    }
    return {};
}

Expected<std::optional<Reply>> Connection::receive(Deadline deadline) {
    for (;;) {
        if (!is_open()) return failure(hung_up);
        void* reply = nullptr;
        if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) {
            close();
            return failure("it does not speak Redis's protocol");
        }
        if (reply) return Reply(static_cast<redisReply*>(reply));
        const auto read = [&]() -> ssize_t {
            if (tls_) return SSL_read(tls_.get(), received_.data(), static_cast<int>(received_.size()));
            return ::recv(socket_, received_.data(), received_.size(), 0);
        };
        const auto size = repeat(read, POLLIN, deadline);
        if (!size) {
            close();
            return tl::unexpected(size.error());
        }
        if (*size == 0) return std::nullopt;
        redisReaderFeed(reader_.get(), received_.data(), *size);
    }
}

// Does a step of the socket's or of TLS until it was done. 0 where the time is up.
template <class Step>
Expected<std::size_t> Connection::repeat(const Step& step, short direction, Deadline deadline) const {
    for (;;) {
        ERR_clear_error();
        errno = 0;
        const ssize_t done = step();
        if (done > 0) return static_cast<std::size_t>(done);
        const int wish = tls_ ? SSL_get_error(tls_.get(), static_cast<int>(done)) : SSL_ERROR_SYSCALL;
        if (wish == SSL_ERROR_ZERO_RETURN || (wish == SSL_ERROR_SYSCALL && errno == 0))
            return failure(hung_up);
        if (wish == SSL_ERROR_SSL) return failure(tls_reason());
        const bool is_to_wait = wish != SSL_ERROR_SYSCALL || errno == EAGAIN || errno == EINTR;
        if (!is_to_wait) return failure(system_reason(errno));
        if (wish != SSL_ERROR_SYSCALL) direction = wish == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
        if (!wait_for(direction, deadline)) return 0U;
    }
}

// False where the time is up.
bool Connection::wait_for(short what, Deadline deadline) const {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Deadline::clock::now());
        pollfd places[] = {{socket_, what, 0}, {abandoned_, POLLIN, 0}};
        const int ready = ::poll(places, 2, static_cast<int>(std::max<std::int64_t>(0, left.count())));
        if (ready > 0) return places[1].revents == 0;
        if (ready == 0 || errno != EINTR) return false;
    }
}

Expected<void> Connection::connect_to(const sockaddr* address, socklen_t size, Deadline deadline) {
    close();
    socket_ = ::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket_ < 0) return failure(system_reason(errno));
    if (::connect(socket_, address, size) == 0) return {};
    if (errno != EINPROGRESS) return failure(system_reason(errno));
    if (!wait_for(POLLOUT, deadline)) return failure(too_late);
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return failure(system_reason(error));
    return {};
}

Expected<void> Connection::connect_unix(Deadline deadline) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    endpoint_.path.copy(address.sun_path, sizeof address.sun_path - 1);
    return connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address, deadline);
}

Expected<void> Connection::connect_tcp(Deadline deadline) {
    const auto resolution = std::make_shared<Resolution>();
    tcp::resolver resolver(*resolving_);
    resolver.async_resolve(endpoint_.place.host, std::to_string(endpoint_.place.port),
                           [resolution](const error_code& error, const auto& results) {
                               resolution->done = true;
                               resolution->error = error;
                               for (const auto& result : results)
                                   resolution->places.push_back(result.endpoint());
                           });
    resolving_->restart();
    while (!resolution->done && resolving_->run_one_until(deadline) > 0) {
    }
    if (!resolution->done) return failure("its name could not be resolved in time");
    if (resolution->error)
        return failure("cannot resolve its name: " + describe_network_error(resolution->error));
    Expected<void> connected = failure("its name has no address");
    for (const tcp::endpoint& place : resolution->places) {
        connected = connect_to(place.data(), static_cast<socklen_t>(place.size()), deadline);
        if (!connected) continue;
        const int on = 1;
        ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        endpoint_.place = {place.address().to_string(), place.port()};
        break;
    }
    return connected;
}

Expected<void> Connection::start_tls(Deadline deadline) {
    ERR_clear_error();
    if (!context_) {
        context_.reset(SSL_CTX_new(TLS_client_method()));
        if (auto loaded = load_authorities(context_.get(), endpoint_.ca_file); !loaded) {
            context_.reset();
            return loaded;
        }
    }
    tls_.reset(SSL_new(context_.get()));
    SSL_set_fd(tls_.get(), socket_);
    SSL_set_verify(tls_.get(), SSL_VERIFY_PEER, nullptr);
    const char* const name = endpoint_.certified_name.c_str();
    // A name chooses the certificate too; addresses must not stand there.
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), name) != 1) {
        SSL_set1_host(tls_.get(), name);
        SSL_ctrl(tls_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 endpoint_.certified_name.data());
    }
    const auto shaken = repeat([&]() -> ssize_t { return SSL_connect(tls_.get()); }, POLLIN, deadline);
    if (!shaken) return failure("TLS: " + shaken.error().message);
    if (*shaken == 0) return failure(std::string("TLS: ") + too_late);
    return {};
}

Expected<std::vector<Reply>> Connection::exchange(const Commands& commands, Deadline deadline) {
    if (const auto sent = send(commands, deadline); !sent) return tl::unexpected(sent.error());
    std::vector<Reply> replies;
    replies.reserve(commands.count());
    while (replies.size() < commands.count()) {
        auto reply = receive(deadline);
        if (!reply) return tl::unexpected(reply.error());
        if (!*reply) {
            close();
            return failure(too_late);
        }
        replies.push_back(**std::move(reply));
    }
    return replies;
}

}  // namespace sema::redis
