#pragma once

#include "common/ids.hpp"
#include "tests/support/program.hpp"
#include "tests/support/running_server.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace sema::test {

/// Has a shell wait for the file `go` in its folder: for two minutes, so that nothing goes on for ever that a
/// failed test leaves behind.
inline const std::string wait_for_go = "for i in $(seq 2400); do [ -e go ] && break; sleep 0.05; done";

/// The real semactl, as somebody uses it who has a server and a pool named `vsim`.
class Semactl {
  public:
    explicit Semactl(std::string server_url);

    /// A command line that begins with semactl itself.
    static std::vector<std::string> command(std::vector<std::string> arguments);

    /// Options under which a program finds the server and the alias, and no configuration of the machine's.
    ProgramOptions options(ProgramOptions more = {}) const;

    Finished operator()(std::vector<std::string> arguments, ProgramOptions more = {}) const;

    /// What the server says of the pool; -1 where it says nothing.
    int in_use() const;
    int count() const;

    const PoolId& pool() const { return pool_; }
    std::filesystem::path folder() const { return folder_.path(); }

  private:
    int state(const std::string& key) const;

    TempDir folder_;
    std::string server_;
    PoolId pool_ = PoolId::random();
};

}  // namespace sema::test
