#pragma once

#include "tests/support/program.hpp"
#include "tests/support/reserved_port.hpp"
#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace sema::test {

/// A real nginx or HAProxy of the test's own, on a free port of 127.0.0.1 that it keeps. What it is
/// configured with has to make it listen there.
class WebProxy {
  public:
    enum class Kind { nginx, haproxy };
    explicit WebProxy(Kind kind) : kind_(kind) {}

    int port() const { return port_.number(); }
    std::string host_and_port() const { return "127.0.0.1:" + std::to_string(port()); }
    /// Where a test may put its files. nginx's access log, where it has one, is `access.log` there.
    const std::filesystem::path& folder() const { return folder_.path(); }

    /// Starts it, and returns once it takes connections. `configuration` is what stands in nginx's `http`
    /// block, or the whole of HAProxy's file. REQUIRES: it does not run.
    void start(const std::string& configuration);
    /// Ends it as a crash does.
    void kill9();

    std::string log() const { return program_ ? program_->err() + program_->out() : ""; }

  private:
    std::vector<std::string> command() const;

    Kind kind_;
    TempDir folder_;
    ReservedPort port_;
    std::unique_ptr<Program> program_;
};

}  // namespace sema::test
