#include "server/notify.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/datagram_protocol.hpp>

#include <cstdlib>
#include <string>
#include <string_view>

namespace sema {

void notify_supervisor(const char* state) {
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
    socket.send_to(boost::asio::buffer(std::string_view(state)), Protocol::endpoint(path), 0, ignored);
}

}  // namespace sema
