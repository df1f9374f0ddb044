#include "server/notify.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace sema {
namespace {

enum class IfBusy { wait, drop };

void send(const char* state, IfBusy if_busy) {
    using Protocol = boost::asio::local::datagram_protocol;
    const char* address = std::getenv("NOTIFY_SOCKET");
    if (!address) return;
    std::string path = address;
    // A leading @ stands for the NUL of an abstract socket's name.
    if (!path.empty() && path.front() == '@') path.front() = '\0';
    if (path.size() >= sizeof(sockaddr_un::sun_path)) return;
    boost::asio::io_context context;
    boost::system::error_code ignored;
    Protocol::socket socket(context);
    socket.open(Protocol(), ignored);
    if (if_busy == IfBusy::drop) socket.non_blocking(true, ignored);
    socket.send_to(boost::asio::buffer(std::string_view(state)), Protocol::endpoint(path), 0, ignored);
}

// 0 where the variable has no number.
long long number_in(const char* variable) {
    const char* value = std::getenv(variable);
    return value ? std::atoll(value) : 0;
}

}  // namespace

void notify_supervisor(const char* state) {
    send(state, IfBusy::wait);
}

void tell_supervisor_alive() {
    send("WATCHDOG=1", IfBusy::drop);
}

std::optional<std::chrono::microseconds> supervisor_patience() {
    const std::chrono::microseconds patience(number_in("WATCHDOG_USEC"));
    // The variables may be meant for the process that started us.
    const bool is_for_us = !std::getenv("WATCHDOG_PID") || number_in("WATCHDOG_PID") == ::getpid();
    if (patience <= patience.zero() || !is_for_us) return std::nullopt;
    return patience;
}

}  // namespace sema
