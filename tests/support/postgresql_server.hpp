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

/// How a PostgresqlServer is started.
struct PostgresqlOptions {
    /// Further lines for its configuration; of two that say the same, the later one counts.
    std::vector<std::string> config;
    /// The environment, and what else a program is started with.
    ProgramOptions program;
    /// Where it listens, and on which port: one of its own where that is 0.
    std::string address = "127.0.0.1";
    int port = 0;
};

/// A PostgreSQL of the test's own: on a free port and a Unix socket, with its data in a folder that goes away
/// with it. It runs from the construction on, and has the same port, socket and data when it is started
/// again.
///
/// REQUIRES: find_postgresql() finds it; where the test is run by root, there is a user `postgres`, as the
/// package makes one, since PostgreSQL refuses to be root's.
class PostgresqlServer final : public StoreServer {
  public:
    explicit PostgresqlServer(PostgresqlOptions options = {});
    /// A standby of `primary`, which replicates to it under the name `name`.
    PostgresqlServer(const PostgresqlServer& primary, const std::string& name,
                     PostgresqlOptions options = {});
    ~PostgresqlServer() override;

    /// `postgresql://postgres@127.0.0.1:PORT/DATABASE`
    std::string url(const std::string& database) const;
    std::string url() const override { return url("postgres"); }
    int port() const override { return port_; }
    std::filesystem::path folder() const { return folder_.path(); }

    void start() override;
    void kill9() override;
    /// Ends it at once, as a service manager does that does not wait for clients.
    void stop();
    void pause() override;
    void resume() override;
    /// Makes a standby the one that takes changes.
    void promote();
    /// The PostgreSQL is configured anew with these lines.
    void configure(const std::vector<std::string>& lines);

    /// Runs SQL over a connection of its own, in a database of it. Returns the last statement's values, row
    /// by row; null is "(null)". Throws where that fails.
    std::vector<std::string> query(const std::string& sql, const std::string& database = "postgres") const;

    std::string log() const { return server_ ? server_->err() : ""; }

  private:
    std::filesystem::path data() const { return folder_.path() / "data"; }
    std::vector<std::string> as_its_user(std::vector<std::string> command) const;
    void run(std::vector<std::string> command) const;
    void choose_port();
    void write_settings(const std::vector<std::string>& config);
    void signal_all(int number) const;
    bool serves() const;

    PostgresqlOptions options_;
    TempDir folder_{data_parent()};
    std::optional<ReservedPort> reserved_;
    int port_ = 0;
    std::unique_ptr<Program> server_;
};

}  // namespace sema::test
