#include "client/connection.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How long a grant that crossed our leaving is waited for.
constexpr Duration leaving_limit = 1s;

int milliseconds(Duration duration) {
    return std::max(1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(duration).count()));
}

}  // namespace

Connection::Connection(ServerAddress server) : transfer_(std::move(server)), multi_(curl_multi_init()) {
    if (!multi_) throw std::bad_alloc();
    // A crowd of waiters is to cost the server, and proxies before it, no idle connections.
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 1L);
}

Connection::~Connection() {
    drop();
    curl_multi_cleanup(multi_);
}

// libcurl names a transfer's socket only once the transfer is over.
void Connection::start() {
    CURL* const easy = transfer_.handle();
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
    curl_multi_add_handle(multi_, easy);
}

Exchange Connection::exchange(const Request& request) {
    transfer_.prepare(request);
    start();
    const Finish finish = this->finish(request.control);
    // Removing an unfinished transfer closes its connection.
    curl_multi_remove_handle(multi_, transfer_.handle());
    if (finish.left) {
        transfer_.start_afresh_next();
        if (!finish.code) return Left{};
    }
    return transfer_.outcome(*finish.code, finish.left);
}

void Connection::begin(const Request& request) {
    transfer_.prepare(request);
    start();
    is_under_way_ = true;
}

std::optional<Exchange> Connection::proceed() {
    if (!is_under_way_) return std::nullopt;
    Finish finish;
    finish.code = perform();
    if (!finish.code) return std::nullopt;
    drop();
    return transfer_.outcome(*finish.code, finish.left);
}

void Connection::drop() {
    if (std::exchange(is_under_way_, false)) curl_multi_remove_handle(multi_, transfer_.handle());
}

void Connection::wait(std::vector<int> wakes, Duration limit) {
    std::vector<curl_waitfd> descriptors;
    for (const int wake : wakes)
        descriptors.push_back({wake, CURL_WAIT_POLLIN, 0});
    const auto round = std::min<Duration>(limit, std::chrono::hours(1));
    curl_multi_poll(multi_, descriptors.data(), static_cast<unsigned>(descriptors.size()),
                    milliseconds(round), nullptr);
}

Exchange Connection::stream(const Request& request, Duration longest_silence,
                            const std::function<bool(const ServerEvent&)>& on_event) {
    transfer_.prepare_stream(request);
    start();
    const Duration answer_limit = std::min(request.limit, longest_silence);
    const Finish finish = follow(*request.control, answer_limit, longest_silence, on_event);
    curl_multi_remove_handle(multi_, transfer_.handle());
    if (finish.left) return Left{};
    const bool was_cut = transfer_.is_event_stream() && finish.code && *finish.code != CURLE_WRITE_ERROR;
    if (finish.code && !was_cut) return transfer_.outcome(*finish.code, finish.left);
    transfer_.look_up_next();
    return Unreachable{was_cut ? "the connection was closed"
                               : "nothing was heard of it for " +
                                     describe(transfer_.is_event_stream() ? longest_silence : answer_limit)};
}

Connection::Finish Connection::finish(WaitControl* control) {
    Finish finish;
    Moment patience{};
    for (;;) {
        finish.code = perform();
        if (finish.code || (finish.left && BootClock::now() >= patience)) return finish;

        curl_waitfd wake{control && !finish.left ? control->wake_fd() : -1, CURL_WAIT_POLLIN, 0};
        const bool listening = wake.fd >= 0;
        const Duration pause = finish.left ? 20ms
                               : control   ? std::min(Request::longest_round, control->longest_round())
                                           : Request::longest_round;
        curl_multi_poll(multi_, &wake, listening ? 1U : 0U, milliseconds(pause), nullptr);
        if (listening && !control->keep_waiting()) {
            finish.left = true;
            patience = BootClock::now() + leaving_limit;
            if (!stop_sending()) return finish;
        }
    }
}

Connection::Finish Connection::follow(WaitControl& control, Duration answer_limit, Duration longest_silence,
                                      const std::function<bool(const ServerEvent&)>& on_event) {
    Finish finish;
    for (;;) {
        // What came while this process did not run, as after a SIGSTOP, is read before its absence is judged.
        const Moment looked = BootClock::now();
        finish.code = perform();
        while (const auto event = transfer_.events().next()) {
            finish.left = !on_event(*event);
            if (finish.left) return finish;
        }
        const Duration patience = transfer_.is_event_stream() ? longest_silence : answer_limit;
        if (finish.code || looked - transfer_.heard() >= patience) return finish;

        curl_waitfd wake{control.wake_fd(), CURL_WAIT_POLLIN, 0};
        const auto round_ms = milliseconds(Request::longest_round);
        curl_multi_poll(multi_, &wake, wake.fd >= 0 ? 1U : 0U, round_ms, nullptr);
        finish.left = !control.keep_waiting();
        if (finish.left) return finish;
    }
}

// How the transfer ended, once it has.
std::optional<CURLcode> Connection::perform() {
    int running = 0;
    curl_multi_perform(multi_, &running);
    std::optional<CURLcode> code;
    int queued = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
        if (message->msg == CURLMSG_DONE) code = message->data.result;
    }
    return code;
}

// Closes the sending side, which takes the borrower out of the queue, and keeps listening. False where there
// is no connection yet. Idle connections of earlier calls may be among these; they are not used again.
bool Connection::stop_sending() {
    bool connected = false;
    for (const curl_socket_t socket : sockets_)
        connected = shutdown(socket, SHUT_WR) == 0 || connected;
    return connected;
}

curl_socket_t Connection::open_socket(void* self, curlsocktype, curl_sockaddr* address) {
    const int socket = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (socket >= 0) static_cast<Connection*>(self)->sockets_.push_back(socket);
    return socket;
}

int Connection::close_socket(void* self, curl_socket_t socket) {
    auto& sockets = static_cast<Connection*>(self)->sockets_;
    sockets.erase(std::remove(sockets.begin(), sockets.end(), socket), sockets.end());
    return close(socket);
}

}  // namespace sema
