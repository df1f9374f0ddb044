#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sema::http {

/// What a listener is for.
enum class Serves { calls, calls_and_dashboard };

/// A request as routes see it, for as long as it is being handled.
struct Request {
    std::string_view method;
    /// Decoded, without the query.
    std::string_view path;
    std::string_view body;
    /// The value of the Authorization field; empty where there is none.
    std::string_view authorization{};
    std::string_view query{};
    /// The value of the If-None-Match field; empty where there is none.
    std::string_view known_tags{};
    Serves served = Serves::calls;
};

/// cpp-httplib as a parser of requests, without its sockets and threads. Everything that depends on that
/// library, and on which of its versions, is in engine.cpp. One thread at a time may use an engine.
class Engine {
  public:
    struct Target {
        std::string method;
        /// Decoded, without the query.
        std::string path;
    };

    Engine();
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// What `request_line` (well-formed, without its CRLF) asks for, until the next call. Nothing: the
    /// library refused it. Lines that came lately are not parsed again.
    [[nodiscard]] const Target* parse(std::string_view request_line);

    /// Whether the library takes requests with this method at all.
    static bool knows(std::string_view method);

  private:
    class Parser;
    struct Known {
        std::string request_line;
        Target target;
    };

    std::unique_ptr<Parser> parser_;
    /// Each line has one place, by its hash. What comes to a place later takes it over.
    std::vector<Known> known_;
    Target unknown_;
};

}  // namespace sema::http
