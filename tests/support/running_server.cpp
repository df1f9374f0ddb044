#include "tests/support/running_server.hpp"

#include <charconv>
#include <stdexcept>

namespace sema::test {

RunningServer::RunningServer(std::vector<std::string> options) : options_(std::move(options)) {
    start();
}

void RunningServer::start() {
    std::vector<std::string> command = {SEMAD, "--listen", "127.0.0.1:" + std::to_string(port_), "--store",
                                        "sqlite:" + (folder_.path() / "semad.db").string()};
    command.insert(command.end(), options_.begin(), options_.end());
    server_ = std::make_unique<Program>(command);

    // "semad VERSION listening on http://127.0.0.1:PORT, store ..." is its first line once it serves.
    const std::string before = "listening on http://127.0.0.1:";
    if (!server_->warns(before) || !server_->warns(", store "))
        throw std::runtime_error("semad did not start; it wrote: " + server_->err());
    const std::string log = server_->err();
    const char* port = log.data() + log.find(before) + before.size();
    std::from_chars(port, log.data() + log.size(), port_);
    url_ = "http://127.0.0.1:" + std::to_string(port_);
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
