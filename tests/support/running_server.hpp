#pragma once

#include "tests/support/postgresql_server.hpp"
#include "tests/support/program.hpp"
#include "tests/support/redis_server.hpp"
#include "tests/support/reserved_port.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace sema::test {

/// A semad of the test's own: on a free port, with its store in a folder that goes away with it. Port and
/// store stay the same when it is started again. It runs from the construction on.
///
/// With SEMA_TEST_TLS in the environment it speaks TLS, as RawClient does.
///
/// With SEMA_TEST_STORE in the environment, `redis`, `valkey` or `postgresql`, the store is a server of that
/// kind, one for each semad, that runs for as long as this lives.
class RunningServer {
  public:
    /// `options` are added to semad's command line; `--store` among them replaces the server's own.
    explicit RunningServer(std::vector<std::string> options = {}, ProgramOptions program = {});

    /// `http://127.0.0.1:PORT`, with `https` for TLS.
    const std::string& url() const { return url_; }
    int port() const { return port_.number(); }
    pid_t pid() const { return server_->pid(); }
    /// The SQLite file.
    std::filesystem::path store() const { return folder_.path() / "semad.db"; }
    /// Where a test may put what belongs to the server, such as its Unix socket.
    const std::filesystem::path& folder() const { return folder_.path(); }

    /// Starts it again, and returns once it serves. REQUIRES: it was stopped.
    void start();
    /// Ends it as a crash does.
    void kill9();
    /// Ends it as a service manager does. Returns its exit status.
    int terminate();

    Program& program() { return *server_; }

    /// All that the running server logged.
    std::string log() const { return server_->err(); }

  private:
    std::string make_store();

    std::vector<std::string> options_;
    ProgramOptions program_options_;
    TempDir folder_;
    std::unique_ptr<RedisServer> redis_;
    std::unique_ptr<PostgresqlServer> postgresql_;
    ReservedPort port_;
    std::string url_;
    std::unique_ptr<Program> server_;
};

}  // namespace sema::test
