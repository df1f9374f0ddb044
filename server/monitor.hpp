#pragma once

#include "server/http/http_server.hpp"
#include "server/http/metrics_page.hpp"
#include "server/log.hpp"
#include "server/metrics/text.hpp"
#include "server/options.hpp"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sema {

/// How others observe the server: metrics, the listener for them, and the access log.
class Monitor {
  public:
    /// All must outlive the monitor. To be made before the service is used.
    Monitor(const Options& options, bool has_administrator, Service& service, const Clock& clock,
            const Log& log);
    ~Monitor();
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;

    /// What `write` adds is among the metrics. To be called before start().
    void add(std::function<void(MetricsText&)> write) { others_.push_back(std::move(write)); }
    /// Has the server with these options counted, and logged.
    void observe(http::HttpOptions& options);
    /// Gives `routes`, those of `server`, what they report of the process, and binds the listener for
    /// metrics, where there is one. The error is as for HttpServer::listen().
    Expected<void> listen(const Options& options, http::Routes& routes, http::HttpServer& server);
    /// Serves metrics from now on.
    void start();
    /// REQUIRES: `server` still runs, or has connections no longer.
    void stop();

    /// Where metrics are served without a token.
    std::vector<std::string> addresses() const;

    void set_access_log(const Options& options);

  private:
    std::string metrics(const http::HttpServer& server) const;

    Service& service_;
    const Clock& clock_;
    const bool has_metrics_;
    http::HttpMetrics http_metrics_;
    std::vector<std::function<void(MetricsText&)>> others_;
    http::AccessLog access_log_;
    std::unique_ptr<http::MetricsPage> page_;
    std::unique_ptr<http::Routes> routes_;
    std::unique_ptr<http::HttpServer> server_;
};

}  // namespace sema
