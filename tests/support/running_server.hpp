#pragma once

#include "tests/support/program.hpp"

#include <memory>
#include <string>
#include <vector>

namespace sema::test {

/// A semad of the test's own: on a free port, with its store in a folder that goes away with it. Port and
/// store stay the same when it is started again. It runs from the construction on.
class RunningServer {
  public:
    /// `options` are added to semad's command line.
    explicit RunningServer(std::vector<std::string> options = {});

    /// `http://127.0.0.1:PORT`
    const std::string& url() const { return url_; }
    int port() const { return port_; }
    pid_t pid() const { return server_->pid(); }

    /// Starts it again, and returns once it serves. REQUIRES: it was stopped.
    void start();
    /// Ends it as a crash does.
    void kill9();
    /// Ends it as a service manager does. Returns its exit status.
    int terminate();

    /// All that the running server logged.
    std::string log() const { return server_->err(); }

  private:
    std::vector<std::string> options_;
    TempDir folder_;
    int port_ = 0;
    std::string url_;
    std::unique_ptr<Program> server_;
};

}  // namespace sema::test
