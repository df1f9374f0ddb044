#pragma once

#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/samples.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace sema::test {

inline const std::string admin_token = "s3cret-admin-token";

/// A semad with an administrator, and with metrics on a port of their own.
class MonitoredServer {
  public:
    explicit MonitoredServer(std::vector<std::string> options = {}) : server_(with_own(std::move(options))) {}

    RunningServer& semad() { return server_; }
    const RunningServer& semad() const { return server_; }
    int metrics_port() const { return port_.number(); }

    HttpResponse watch(const std::string& target, const std::string& method = "GET") const {
        return call(metrics_port(), method, target);
    }
    std::string metrics() const { return watch("/metrics").body; }
    /// The value of one sample; empty where it is not there.
    std::string value(const std::string& name) const { return sample(metrics(), name); }

  private:
    std::vector<std::string> with_own(std::vector<std::string> options) {
        const std::string file = (folder_.path() / "admin-token").string();
        std::ofstream(file) << admin_token << "\n";
        std::filesystem::permissions(file, std::filesystem::perms(0600));
        options.insert(options.end(), {"--admin-token-file", file, "--metrics-listen",
                                       "127.0.0.1:" + std::to_string(port_.number())});
        return options;
    }

    TempDir folder_;
    ReservedPort port_;
    RunningServer server_;
};

/// Prometheus' tool, which script/bootstrap fetches.
inline std::string promtool() {
    const std::string fetched = TOOLS_FOLDER "/promtool/usr/bin/promtool";
    return std::filesystem::exists(fetched) ? fetched : "promtool";
}

}  // namespace sema::test
