#include "tests/support/running_server.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace sema::test {

RunningServer::RunningServer(std::vector<std::string> options, ProgramOptions program)
    : options_(std::move(options)),
      program_options_(std::move(program)),
      url_("http://127.0.0.1:" + std::to_string(port_.number())) {
    start();
}

void RunningServer::start() {
    std::vector<std::string> command = {SEMAD, "--listen", "127.0.0.1:" + std::to_string(port_.number())};
    if (std::find(options_.begin(), options_.end(), "--store") == options_.end())
        command.insert(command.end(), {"--store", "sqlite:" + store().string()});
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
