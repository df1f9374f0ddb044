#include "server/notify.hpp"

#include "common/numbers.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <thread>

namespace sema {
namespace {

enum class IfBusy { wait, drop };

// How long a supervisor that hangs may keep us, and how often we look after it meanwhile.
constexpr std::chrono::milliseconds longest_wait(200);
constexpr std::chrono::milliseconds wait_step(10);

void send(std::string_view state, IfBusy if_busy) {
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
    socket.non_blocking(true, ignored);
    const auto give_up_at = std::chrono::steady_clock::now() + longest_wait;
    while (true) {
        boost::system::error_code error;
        socket.send_to(boost::asio::buffer(state), Protocol::endpoint(path), 0, error);
        const bool is_busy = error == boost::asio::error::would_block;
        if (!is_busy || if_busy == IfBusy::drop || std::chrono::steady_clock::now() > give_up_at) return;
        std::this_thread::sleep_for(wait_step);
    }
}

// Nothing where the variable has no positive number.
std::optional<std::int64_t> number_in(const char* variable) {
    const char* value = std::getenv(variable);
    const auto number = parse_number(value ? value : "", {1, std::numeric_limits<std::int64_t>::max()});
    return number ? std::optional(*number) : std::nullopt;
}

}  // namespace

void notify_supervisor(const char* state) {
    send(state, IfBusy::wait);
}

void notify_supervisor_reloading() {
    // This time shows the supervisor whether the reload is the one that it asked for.
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds), IfBusy::wait);
}

bool has_supervisor() {
    const char* address = std::getenv("NOTIFY_SOCKET");
    return address && *address != '\0';
}

void notify_supervisor_status(const std::string& line) {
    send("STATUS=" + line, IfBusy::drop);
}

void notify_supervisor_alive() {
    send("WATCHDOG=1", IfBusy::drop);
}

std::optional<std::chrono::microseconds> supervisor_patience() {
    const auto patience = number_in("WATCHDOG_USEC");
    // The variables may be meant for the process that started us.
    const bool is_for_us = !std::getenv("WATCHDOG_PID") || number_in("WATCHDOG_PID") == ::getpid();
    if (!patience || !is_for_us) return std::nullopt;
    return std::chrono::microseconds(*patience);
}

}  // namespace sema
