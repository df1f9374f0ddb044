#pragma once

#include "tests/support/engines.hpp"
#include "tests/support/program.hpp"
#include "tests/support/reserved_port.hpp"
#include "tests/support/store_server.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sema::test {

/// How a RedisServer is started.
struct RedisOptions {
    /// "redis" or "valkey".
    std::string engine = "redis";
    /// Further lines for its configuration; of two that say the same, the later one counts.
    std::vector<std::string> config;
    /// The environment, and what else a program is started with.
    ProgramOptions program;
    /// Where it listens, and on which port: one of its own where that is 0.
    std::string address = "127.0.0.1";
    int port = 0;
};

/// A Redis or Valkey of the test's own: on a free port and a Unix socket, with its data in a folder that goes
/// away with it. Every write is synced before it is answered. It runs from the construction on, and has
/// the same port, socket and data when it is started again.
///
/// REQUIRES: find_engine() finds it.
class RedisServer final : public StoreServer {
  public:
    explicit RedisServer(RedisOptions options = {});

    /// `redis://127.0.0.1:PORT/DATABASE`
    std::string url(int database) const;
    std::string url() const override { return url(0); }
    /// `redis+unix://SOCKET?db=DATABASE`, without the query for database 0.
    std::string unix_url(int database = 0) const;
    const std::string& address() const { return options_.address; }
    int port() const override { return port_; }
    std::filesystem::path socket() const { return folder_.path() / "socket"; }
    std::filesystem::path folder() const { return folder_.path(); }
    pid_t pid() const { return server_->pid(); }

    void start() override;
    void kill9() override;
    /// Ends it as a service manager does. Returns its exit status.
    int terminate();
    /// kill9() and start().
    void restart();
    void pause() override { server_->signal(SIGSTOP); }
    void resume() override { server_->signal(SIGCONT); }

    /// Sends a command over a connection of its own to the Unix socket. Returns the answer's texts and
    /// numbers in their order, without their structure; null is "(nil)". Throws where the answer is an
    /// error, or none comes within 10 s.
    std::vector<std::string> command(const std::vector<std::string>& words) const;

    /// All that the running server logged.
    std::string log() const { return server_->out(); }

  private:
    bool serves() const;

    RedisOptions options_;
    TempDir folder_{data_parent()};
    std::optional<ReservedPort> reserved_;
    int port_ = 0;
    std::unique_ptr<Program> server_;
};

/// What RedisServer::command() does, of whatever listens on a Unix socket.
std::vector<std::string> redis_command(const std::filesystem::path& socket,
                                       const std::vector<std::string>& words);

}  // namespace sema::test
