#pragma once

#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>

namespace sema::test {

/// A supervisor's end of the socket that $NOTIFY_SOCKET names.
class NotifySocket {
  public:
    explicit NotifySocket(const std::filesystem::path& path)
        : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        REQUIRE(bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        const timeval limit{patience.count(), 0};
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;
    ~NotifySocket() { ::close(socket_); }

    /// The next message but for those in which semad says how it does, which come at their own times. Empty
    /// where none comes.
    std::string receive() const {
        std::string message = receive_any();
        while (message.rfind("STATUS=", 0) == 0)
            message = receive_any();
        return message;
    }
    std::string receive_any() const {
        std::array<char, 100> text{};
        const ssize_t size = recv(socket_, text.data(), text.size(), 0);
        return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    }

  private:
    int socket_;
};

}  // namespace sema::test
