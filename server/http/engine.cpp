#include "server/http/engine.hpp"

#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace sema::http {
namespace {

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

// The pre-routing handler is given a request as soon as its head is parsed. It is where routing starts
// here: the library's own compares paths with regular expressions, and would read the body, which the
// connection has already.
class Engine::Server final : public httplib::Server {
  public:
    Server() {
        set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
            response.status = 200;
            handled_ = true;
            (*handle_)({request.method, request.path, body_, {}});
            return HandlerResponse::Handled;
        });
    }

    bool dispatch(std::string_view request_line, std::string_view body,
                  const std::function<void(const Request&)>& handle) {
        HeadStream stream(request_line);
        handled_ = false;
        handle_ = &handle;
        body_ = body;
        process(*this, &Server::process_request, stream);
        return handled_;
    }

  private:
    bool handled_ = false;
    const std::function<void(const Request&)>* handle_ = nullptr;
    std::string_view body_;
};

bool Engine::knows(std::string_view method) {
    constexpr std::string_view methods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                            "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    return std::find(std::begin(methods), std::end(methods), method) != std::end(methods);
}

// One request through it at once: the library makes its function-local tables here, before there are
// threads, and not when several meet their first request.
Engine::Engine() : server_(std::make_unique<Server>()) {
    static_cast<void>(server_->dispatch("GET / HTTP/1.1", {}, [](const Request&) {}));
}
Engine::~Engine() = default;

bool Engine::dispatch(std::string_view request_line, std::string_view body,
                      const std::function<void(const Request&)>& handle) {
    return server_->dispatch(request_line, body, handle);
}

}  // namespace sema::http
