#include "server/store/redis/connection.hpp"

#include "common/network_error.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <hiredis/hiredis.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <utility>

namespace sema::redis {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;
using TlsStream = asio::ssl::stream<Socket&>;

// One recv() takes an answer of some hundred rows.
constexpr std::size_t read_size = 64 * 1024;

struct FreeReader {
    void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

// "500 ms" says less than what was waited for.
constexpr const char* too_late = "no answer in time";

std::string reason_of(const error_code& error) {
    if (error == asio::ssl::error::stream_truncated) return "it hung up";
    if (error.category() != asio::error::get_ssl_category()) return describe_network_error(error);
    const auto number = static_cast<unsigned long>(error.value());
    if (ERR_SYSTEM_ERROR(number)) return std::generic_category().message(ERR_GET_REASON(number));
    if (ERR_GET_REASON(number) == SSL_R_WRONG_VERSION_NUMBER) return "it does not speak TLS";
    const char* const reason = ERR_reason_error_string(number);
    return std::string("TLS: ") + (reason != nullptr ? reason : "it failed");
}

}  // namespace

void Reply::Free::operator()(redisReply* reply) const {
    freeReplyObject(reply);
}

bool Reply::is_nil() const {
    return reply_->type == REDIS_REPLY_NIL;
}

std::optional<std::string_view> Reply::text() const {
    if (reply_->type != REDIS_REPLY_STRING && reply_->type != REDIS_REPLY_STATUS) return std::nullopt;
    return std::string_view(reply_->str, reply_->len);
}

std::optional<std::int64_t> Reply::integer() const {
    if (reply_->type != REDIS_REPLY_INTEGER) return std::nullopt;
    return reply_->integer;
}

std::optional<std::string_view> Reply::error() const {
    if (reply_->type != REDIS_REPLY_ERROR) return std::nullopt;
    return std::string_view(reply_->str, reply_->len);
}

bool Reply::is_array() const {
    return reply_->type == REDIS_REPLY_ARRAY;
}

std::size_t Reply::size() const {
    return is_array() ? reply_->elements : 0;
}

Reply Reply::operator[](std::size_t index) const {
    const redisReply* part = reply_->element[index];
    return Reply(part);
}

void Commands::clear() {
    bytes_.clear();
    count_ = 0;
}

Commands& Commands::begin(std::size_t words) {
    ++count_;
    length('*', words);
    return *this;
}

Commands& Commands::word(std::string_view text) {
    length('$', text.size());
    bytes_ += text;
    bytes_ += "\r\n";
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
    char* end = std::to_chars(digits + 1, digits + sizeof digits - 2, number).ptr;
    *end++ = '\r';
    *end++ = '\n';
    bytes_.append(digits, end);
}

std::string describe(const Endpoint& endpoint) {
    if (endpoint.way == RedisAddress::Way::unix_socket) return endpoint.path;
    return describe(endpoint.place);
}

/// Outlives its Connection where a handler is still to be called.
class Connection::Impl : public std::enable_shared_from_this<Impl> {
  public:
    Impl(asio::io_context& io, const std::atomic<bool>* abandoned)
        : io_(io), socket_(io), abandoned_(abandoned) {}

    Expected<void> open(const Endpoint& endpoint, Deadline deadline) {
        endpoint_ = endpoint;
        tls_.reset();
        reader_.reset(redisReaderCreate());
        Expected<void> opened =
            endpoint.way == RedisAddress::Way::unix_socket ? connect_unix(deadline) : connect_tcp(deadline);
        if (opened && endpoint.way == RedisAddress::Way::tls) opened = shake_hands(deadline);
        if (!opened) close();
        return opened;
    }

    bool is_open() const { return socket_.is_open(); }

    void close() {
        error_code ignored;
        socket_.close(ignored);
        ended_ = true;
    }

    const Endpoint& endpoint() const { return endpoint_; }

    bool was_closed() {
        if (!socket_.is_open()) return true;
        char byte = 0;
        const ssize_t size = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        // Bytes that nobody asked for are the end of a TLS session, or of our understanding.
        return size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    }

    Expected<std::vector<Reply>> exchange(const Commands& commands, Deadline deadline) {
        auto answers = try_exchange(commands, deadline);
        if (!answers) close();
        return answers;
    }

    void receive(std::function<void(Reply)> on_reply, std::function<void(const std::string&)> on_end) {
        on_reply_ = std::move(on_reply);
        on_end_ = std::move(on_end);
        if (!ended_) return;
        ended_ = false;
        deliver();
        if (!ended_) receive_more();
    }

    void send(std::string_view bytes) {
        if (ended_) return;
        unsent_ += bytes;
        if (sending_.empty()) send_more();
    }

    void forget() {
        on_reply_ = nullptr;
        on_end_ = nullptr;
        close();
    }

  private:
    // True once done; false where the time was up.
    bool run_until(const bool& done, Deadline deadline) {
        io_.restart();
        while (!done) {
            if (io_.run_one_until(deadline) == 0) {
                if (std::chrono::steady_clock::now() >= deadline) return false;
                io_.restart();
            }
            if (!done && abandoned_ && *abandoned_) return false;
        }
        return true;
    }

    // Starts an operation on the socket and waits for it. Closes the socket where the time is up, which ends
    // the operation.
    template <class Start>
    Expected<std::size_t> await(Start start, Deadline deadline) {
        bool done = false;
        error_code result;
        std::size_t transferred = 0;
        start([&](const error_code& error, std::size_t size = 0) {
            result = error;
            transferred = size;
            done = true;
        });
        if (!run_until(done, deadline)) {
            close();
            while (!done) {
                io_.restart();
                io_.run_one();
            }
            return failure(too_late);
        }
        if (result) return failure(reason_of(result));
        return transferred;
    }

    Expected<void> connect_unix(Deadline deadline) {
        const asio::local::stream_protocol::endpoint place(endpoint_.path);
        const auto connected =
            await([&](auto handler) { socket_.async_connect(place, std::move(handler)); }, deadline);
        if (!connected) return tl::unexpected(connected.error());
        return {};
    }

    // A name's resolution cannot be stopped: where it comes too late, its result is dropped when it comes.
    struct Resolution {
        bool done = false;
        error_code error;
        std::vector<asio::ip::tcp::endpoint> places;
    };

    Expected<std::vector<asio::ip::tcp::endpoint>> resolve(Deadline deadline) {
        error_code no_address;
        const auto address = asio::ip::make_address(endpoint_.place.host, no_address);
        if (!no_address) return std::vector{asio::ip::tcp::endpoint(address, endpoint_.place.port)};
        const auto resolution = std::make_shared<Resolution>();
        if (!resolver_) resolver_.emplace(io_);
        resolver_->async_resolve(endpoint_.place.host, std::to_string(endpoint_.place.port),
                                 [resolution](const error_code& error, const auto& results) {
                                     resolution->done = true;
                                     resolution->error = error;
                                     for (const auto& result : results)
                                         resolution->places.push_back(result.endpoint());
                                 });
        if (!run_until(resolution->done, deadline)) {
            resolver_->cancel();
            return failure("its name could not be resolved in time");
        }
        if (resolution->error)
            return failure("cannot resolve its name: " + describe_network_error(resolution->error));
        return std::move(resolution->places);
    }

    Expected<void> connect_tcp(Deadline deadline) {
        const auto places = resolve(deadline);
        if (!places) return tl::unexpected(places.error());
        Expected<void> connected = failure("its name has no address");
        for (const auto& place : *places) {
            error_code ignored;
            socket_.close(ignored);
            const auto tried =
                await([&](auto handler) { socket_.async_connect(place, std::move(handler)); }, deadline);
            if (!tried) {
                connected = tl::unexpected(tried.error());
                continue;
            }
            socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
            endpoint_.place = {place.address().to_string(), place.port()};
            return {};
        }
        return connected;
    }

    Expected<void> shake_hands(Deadline deadline) {
        error_code error;
        if (!context_) {
            context_.emplace(asio::ssl::context::tls_client);
            if (endpoint_.ca_file.empty()) {
                context_->set_default_verify_paths(error);
            } else {
                context_->load_verify_file(endpoint_.ca_file, error);
            }
            if (error) {
                context_.reset();
                return failure("cannot read the certificates of " +
                               (endpoint_.ca_file.empty() ? "the system" : endpoint_.ca_file) + ": " +
                               reason_of(error));
            }
        }
        tls_ = std::make_unique<TlsStream>(socket_, *context_);
        tls_->set_verify_mode(asio::ssl::verify_peer, error);
        tls_->set_verify_callback(asio::ssl::host_name_verification(endpoint_.certified_name), error);
        error_code no_address;
        asio::ip::make_address(endpoint_.certified_name, no_address);
        // The name that a certificate is chosen by; addresses may not be told there.
        if (no_address) {
            SSL_ctrl(tls_->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                     endpoint_.certified_name.data());
        }
        const auto shaken = await(
            [&](auto handler) { tls_->async_handshake(asio::ssl::stream_base::client, std::move(handler)); },
            deadline);
        if (!shaken) return failure("TLS: " + shaken.error().message);
        return {};
    }

    template <class Handler>
    void async_send(asio::const_buffer bytes, Handler handler) {
        if (tls_) {
            asio::async_write(*tls_, bytes, std::move(handler));
        } else {
            asio::async_write(socket_, bytes, std::move(handler));
        }
    }

    template <class Handler>
    void async_receive(Handler handler) {
        if (tls_) {
            tls_->async_read_some(asio::buffer(received_), std::move(handler));
        } else {
            socket_.async_read_some(asio::buffer(received_), std::move(handler));
        }
    }

    // Null where the answer is not all there yet.
    Expected<redisReply*> next_reply() {
        void* reply = nullptr;
        if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK)
            return failure("it does not speak Redis's protocol");
        return static_cast<redisReply*>(reply);
    }

    Expected<std::vector<Reply>> try_exchange(const Commands& commands, Deadline deadline) {
        if (!socket_.is_open()) return failure("it hung up");
        const auto sent = await(
            [&](auto handler) { async_send(asio::buffer(commands.bytes()), std::move(handler)); }, deadline);
        if (!sent) return tl::unexpected(sent.error());
        std::vector<Reply> replies;
        replies.reserve(commands.count());
        while (replies.size() < commands.count()) {
            const auto reply = next_reply();
            if (!reply) return tl::unexpected(reply.error());
            if (*reply) {
                replies.emplace_back(*reply);
                continue;
            }
            const auto size = await([&](auto handler) { async_receive(std::move(handler)); }, deadline);
            if (!size) return tl::unexpected(size.error());
            redisReaderFeed(reader_.get(), received_.data(), *size);
        }
        return replies;
    }

    void end(const std::string& reason) {
        if (ended_ && !on_end_) return;
        close();
        if (const auto on_end = std::exchange(on_end_, nullptr)) on_end(reason);
    }

    void receive_more() {
        async_receive([self = shared_from_this()](const error_code& error, std::size_t size) {
            if (error || self->ended_) return self->end(reason_of(error));
            redisReaderFeed(self->reader_.get(), self->received_.data(), size);
            self->deliver();
            if (!self->ended_) self->receive_more();
        });
    }

    void deliver() {
        while (on_reply_ && !ended_) {
            const auto reply = next_reply();
            if (!reply) return end(reply.error().message);
            if (!*reply) return;
            on_reply_(Reply(*reply));
        }
    }

    void send_more() {
        sending_.swap(unsent_);
        async_send(asio::buffer(sending_), [self = shared_from_this()](const error_code& error, std::size_t) {
            self->sending_.clear();
            if (error || self->ended_) return self->end(reason_of(error));
            if (!self->unsent_.empty()) self->send_more();
        });
    }

    asio::io_context& io_;
    Socket socket_;
    std::optional<asio::ip::tcp::resolver> resolver_;
    std::optional<asio::ssl::context> context_;
    std::unique_ptr<TlsStream> tls_;
    std::unique_ptr<redisReader, FreeReader> reader_;
    Endpoint endpoint_;
    const std::atomic<bool>* abandoned_;
    std::array<char, read_size> received_;

    std::function<void(Reply)> on_reply_;
    std::function<void(const std::string&)> on_end_;
    std::string unsent_;
    std::string sending_;
    bool ended_ = true;
};

Connection::Connection(asio::io_context& io, const std::atomic<bool>* abandoned)
    : impl_(std::make_shared<Impl>(io, abandoned)) {}

Connection::~Connection() {
    impl_->forget();
}

Expected<void> Connection::open(const Endpoint& endpoint, Deadline deadline) {
    return impl_->open(endpoint, deadline);
}

bool Connection::is_open() const {
    return impl_->is_open();
}

void Connection::close() {
    impl_->close();
}

const Endpoint& Connection::endpoint() const {
    return impl_->endpoint();
}

bool Connection::was_closed() const {
    return impl_->was_closed();
}

Expected<std::vector<Reply>> Connection::exchange(const Commands& commands, Deadline deadline) {
    return impl_->exchange(commands, deadline);
}

void Connection::receive(std::function<void(Reply)> on_reply,
                         std::function<void(const std::string&)> on_end) {
    impl_->receive(std::move(on_reply), std::move(on_end));
}

void Connection::send(std::string_view bytes) {
    impl_->send(bytes);
}

}  // namespace sema::redis
