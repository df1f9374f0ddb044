#include "server/http/engine.hpp"

#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>

namespace sema::http {
namespace {

// What the library makes of a request line depends on that alone, and takes it more than ten times as long as
// finding the line here. 256 lines are the calls on about a hundred pools; in 128 bytes there is room for any
// call on a pool.
constexpr std::size_t known_lines = 256;
constexpr std::size_t longest_known_line = 128;

/// Lets the library read a head from memory, and drops what it writes: the answer to a request is known
/// later, and is written by the connection. The functions without `override` are pure virtual in newer
/// versions of the library only. The head is a request line and no fields: the library reads a head byte by
/// byte, and nothing here depends on a field.
class HeadStream final : public httplib::Stream {
  public:
    explicit HeadStream(std::string_view request_line) : left_(request_line) {}

    bool is_readable() const override { return true; }
    bool is_writable() const override { return true; }
    bool wait_readable() const { return true; }
    bool wait_writable() const { return true; }
    time_t duration() const { return 0; }

    ssize_t read(char* to, size_t size) override {
        if (left_.empty()) left_ = std::exchange(end_, {});
        const std::size_t n = std::min(size, left_.size());
        std::memcpy(to, left_.data(), n);
        left_.remove_prefix(n);
        return static_cast<ssize_t>(n);
    }
    ssize_t write(const char*, size_t size) override { return static_cast<ssize_t>(size); }

    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}
    socket_t socket() const override { return -1; }

  private:
    std::string_view left_;
    std::string_view end_ = "\r\n\r\n";
};

// process_request() takes four arguments up to 0.16, and eight from 0.18 on.
template <class AnyServer, class Process>
void process(AnyServer& server, Process process_request, HeadStream& head) {
    // Spares the library the making of a Keep-Alive field.
    constexpr bool last_request = true;
    bool closed = false;
    const auto no_setup = [](httplib::Request&) {};
    if constexpr (std::is_invocable_v<Process, AnyServer&, httplib::Stream&, bool, bool&,
                                      const std::function<void(httplib::Request&)>&>) {
        (server.*process_request)(head, last_request, closed, no_setup);
    } else {
        (server.*process_request)(head, "", 0, "", 0, last_request, closed, no_setup);
    }
}

}  // namespace

// The pre-routing handler is given a request as soon as its head is parsed. It is where the library's part
// ends here: its routing compares paths with regular expressions, and would read the body, which the
// connection has already.
class Engine::Parser final : public httplib::Server {
  public:
    Parser() {
        set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
            response.status = 200;
            parsed_ = Target{request.method, request.path};
            return HandlerResponse::Handled;
        });
    }

    std::optional<Target> parse(std::string_view request_line) {
        HeadStream stream(request_line);
        parsed_.reset();
        process(*this, &Parser::process_request, stream);
        return std::exchange(parsed_, std::nullopt);
    }

  private:
    std::optional<Target> parsed_;
};

bool Engine::knows(std::string_view method) {
    constexpr std::string_view methods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                            "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    return std::find(std::begin(methods), std::end(methods), method) != std::end(methods);
}

// One request through it at once: the library makes its function-local tables here, before there are
// threads, and not when several meet their first request.
Engine::Engine() : parser_(std::make_unique<Parser>()), known_(known_lines) {
    static_cast<void>(parser_->parse("GET / HTTP/1.1"));
}
Engine::~Engine() = default;

const Engine::Target* Engine::parse(std::string_view request_line) {
    Known& known = known_[std::hash<std::string_view>()(request_line) % known_.size()];
    if (known.request_line == request_line && !request_line.empty()) return &known.target;
    auto target = parser_->parse(request_line);
    if (!target) return nullptr;
    if (request_line.size() > longest_known_line) {
        unknown_ = *std::move(target);
        return &unknown_;
    }
    known = {std::string(request_line), *std::move(target)};
    return &known.target;
}

}  // namespace sema::http
