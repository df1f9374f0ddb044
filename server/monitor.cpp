#include "server/monitor.hpp"

#include "common/version.hpp"
#include "server/metrics/process.hpp"
#include "server/metrics/text.hpp"

#include <utility>

namespace sema {
namespace {

// A scraper opens a few.
constexpr std::size_t most_connections = 16;

}  // namespace

Monitor::Monitor(const Options& options, bool has_administrator, Service& service, const Clock& clock,
                 const Log& log)
    : service_(service),
      clock_(clock),
      has_metrics_(options.metrics_listen || has_administrator),
      access_log_([&log](std::string line) { log.write_line(std::move(line)); }) {
    if (has_metrics_) service_.keep_metrics();
    set_access_log(options);
}

Monitor::~Monitor() {
    stop();
}

void Monitor::observe(http::HttpOptions& options) {
    options.metrics = has_metrics_ ? &http_metrics_ : nullptr;
    options.access_log = &access_log_;
}

Expected<void> Monitor::listen(const Options& options, http::Routes& routes, http::HttpServer& server) {
    if (has_metrics_)
        page_ = std::make_unique<http::MetricsPage>([this, &server] { return metrics(server); });
    http::Monitoring monitoring;
    monitoring.metrics = page_.get();
    monitoring.listener_trouble = [&server] { return server.listener_trouble(); };
    routes.set_monitoring(monitoring);
    if (!options.metrics_listen) return {};

    monitoring.is_alive = [&server] { return server.is_alive(); };
    monitoring.is_all = true;
    routes_ = std::make_unique<http::Routes>(service_, clock_, options.limits.max_count);
    routes_->set_monitoring(monitoring);
    http::HttpOptions http_options;
    http_options.listen = {*options.metrics_listen};
    http_options.socket_access = options.socket_access;
    http_options.max_connections = most_connections;
    observe(http_options);
    server_ = std::make_unique<http::HttpServer>(*routes_, http_options);
    return server_->listen();
}

void Monitor::start() {
    if (server_) server_->start();
}

void Monitor::stop() {
    if (page_) page_->stop();
    if (server_) server_->stop();
}

std::vector<std::string> Monitor::addresses() const {
    return server_ ? server_->addresses() : std::vector<std::string>();
}

void Monitor::set_access_log(const Options& options) {
    if (!options.access_log) return access_log_.turn_off();
    access_log_.turn_on(options.log_format == LogFormat::json ? http::AccessLog::Form::json
                                                              : http::AccessLog::Form::text);
}

std::string Monitor::metrics(const http::HttpServer& server) const {
    MetricsText text;
    text.begin("sema_build_info", MetricsText::Kind::gauge, "The version of semad; always 1.");
    text.add({{"version", version}}, 1);
    service_.write_metrics(text);
    http_metrics_.write(text, server.connections());
    for (const auto& write : others_)
        write(text);
    write_process_metrics(text);
    return text.take();
}

}  // namespace sema
