#include "tests/support/running_server.hpp"

#include "tests/support/tls_files.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace sema::test {

namespace {

bool has(const std::vector<std::string>& options, const char* name) {
    return std::find(options.begin(), options.end(), name) != options.end();
}

}  // namespace

RunningServer::RunningServer(std::vector<std::string> options, ProgramOptions program)
    : options_(std::move(options)), program_options_(std::move(program)) {
    if (std::getenv("SEMA_TEST_TLS") != nullptr && !has(options_, "--tls-cert")) {
        const auto [certificate, key] = make_certificate(folder_.path(), "semad");
        options_.insert(options_.end(), {"--tls-cert", certificate, "--tls-key", key});
    }
    url_ = (has(options_, "--tls-cert") ? "https://127.0.0.1:" : "http://127.0.0.1:") +
           std::to_string(port_.number());
    if (!has(options_, "--store")) {
        options_.insert(options_.begin(), {"--store", make_store()});
    }
    start();
}

/// What SEMA_TEST_STORE asks for.
std::string RunningServer::make_store() {
    const char* const wanted = std::getenv("SEMA_TEST_STORE");
    const std::string engine = wanted ? wanted : "";
    if (engine.empty()) return "sqlite:" + store().string();
    if (engine == "postgresql") {
        postgresql_ = std::make_unique<PostgresqlServer>();
        return postgresql_->url();
    }
    RedisOptions options;
    options.engine = engine;
    redis_ = std::make_unique<RedisServer>(std::move(options));
    return redis_->unix_url();
}

void RunningServer::start() {
    std::vector<std::string> command = {SEMAD, "--listen", "127.0.0.1:" + std::to_string(port_.number())};
    command.insert(command.end(), options_.begin(), options_.end());
    server_ = std::make_unique<Program>(command, program_options_);
    // Its first line once it serves.
    if (!server_->warns(" listening on " + url_))
        throw std::runtime_error("semad did not start; it wrote: " + server_->err());
}

void RunningServer::kill9() {
    server_->signal(SIGKILL);
    server_->wait();
}

int RunningServer::terminate() {
    server_->signal(SIGTERM);
    return server_->wait();
}

}  // namespace sema::test
