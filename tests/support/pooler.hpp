#pragma once

#include "tests/support/postgresql_server.hpp"
#include "tests/support/program.hpp"
#include "tests/support/reserved_port.hpp"
#include "tests/support/temp_dir.hpp"

#include <unistd.h>

#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace sema::test {

/// A PgBouncer that lends its connections to a PostgreSQL.
class Pooler {
  public:
    /// `mode` is its pool_mode: `transaction`, `statement`. It has no more than `connections` to lend.
    explicit Pooler(const PostgresqlServer& postgresql, const std::string& mode = "transaction",
                    int connections = 20) {
        std::ofstream(folder_.path() / "pooler.ini")
            << "[databases]\npostgres = host=127.0.0.1 user=postgres port=" << postgresql.port()
            << "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " << port_.number()
            << "\nauth_type = any\npool_mode = " << mode << "\ndefault_pool_size = " << connections
            << "\nunix_socket_dir =\n";
        std::vector<std::string> command = {"/usr/sbin/pgbouncer"};
        // It refuses to be root's.
        if (::geteuid() == 0) command.insert(command.end(), {"-u", "postgres"});
        command.push_back(folder_.path() / "pooler.ini");
        program_.emplace(command);
        if (!program_->warns("process up")) throw std::runtime_error("pgbouncer: " + program_->err());
    }
    std::string url() const {
        return "postgresql://postgres@127.0.0.1:" + std::to_string(port_.number()) + "/postgres";
    }

  private:
    TempDir folder_;
    ReservedPort port_;
    std::optional<Program> program_;
};

}  // namespace sema::test
