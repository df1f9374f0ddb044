#include "tests/support/running_server.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace sema::test {

// A socket that is bound but does not listen. With SO_REUSEADDR on both sides a server can have the port
// beside it, and the system neither gives it to whoever asks for any port nor connects from it.
ReservedPort::ReservedPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "reserve a port");
    }
    number_ = ntohs(address.sin_port);
}

ReservedPort::~ReservedPort() {
    ::close(socket_);
}

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
