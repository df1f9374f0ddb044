#pragma once

#include <functional>
#include <memory>
#include <string_view>

namespace sema::http {

/// A request as routes see it, for as long as it is being handled.
struct Request {
    std::string_view method;
    /// Decoded, without the query.
    std::string_view path;
    std::string_view body;
    /// The value of the Authorization field; empty where there is none.
    std::string_view authorization{};
};

/// cpp-httplib as a parser of requests, without its sockets and threads. Everything that depends on that
/// library, and on which of its versions, is in engine.cpp. One thread at a time may use an engine.
class Engine {
  public:
    Engine();
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Parses `request_line` (well-formed, without its CRLF) and calls `handle` with what it says, once.
    /// False: the library refused it, and `handle` was not called.
    [[nodiscard]] bool dispatch(std::string_view request_line, std::string_view body,
                                const std::function<void(const Request&)>& handle);

    /// Whether the library takes requests with this method at all.
    static bool knows(std::string_view method);

  private:
    class Server;
    std::unique_ptr<Server> server_;
};

}  // namespace sema::http
