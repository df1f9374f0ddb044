#include "tests/support/running_server.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace sema::test {

namespace {

/// The server that SEMA_TEST_STORE asks for; null where it asks for none.
std::unique_ptr<RedisServer> redis_of_environment() {
    const char* wanted = std::getenv("SEMA_TEST_STORE");
    if (wanted == nullptr || *wanted == '\0') return nullptr;
    RedisOptions options;
    options.engine = wanted;
    return std::make_unique<RedisServer>(std::move(options));
}

}  // namespace

RunningServer::RunningServer(std::vector<std::string> options, ProgramOptions program)
    : options_(std::move(options)),
      program_options_(std::move(program)),
      url_("http://127.0.0.1:" + std::to_string(port_.number())) {
    if (std::find(options_.begin(), options_.end(), "--store") == options_.end()) {
        redis_ = redis_of_environment();
        options_.insert(options_.begin(),
                        {"--store", redis_ ? redis_->unix_url() : "sqlite:" + store().string()});
    }
    start();
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
