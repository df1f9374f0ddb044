#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sema::test {

/// What lies between a client and a server on a port of this machine, and can be broken: it passes on what
/// each side sends until it is told otherwise.
class Proxy {
  public:
    enum class State {
        open,
        /// Each connection, also a new one, is closed at once.
        cutting,
        /// Nothing arrives any more, and nobody is told, as when a cable was pulled out. What was sent
        /// meanwhile arrives late.
        silent,
        /// What the client of a connection that there was already sends arrives late: once the state is
        /// another. New connections work. Of some of it, see become(), that is so only for the rest.
        holding,
        /// What servers answer does not arrive, and is dropped.
        mute,
        /// What clients send arrives late: once the state is another. What servers say arrives.
        deaf,
        /// What servers say is not read, as when a client is halted: they cannot get rid of it.
        stuck,
    };

    /// `stand_in` is what a client is answered while the server refuses connections; nothing where it is
    /// empty.
    explicit Proxy(int server_port, std::string stand_in = "")
        : server_(loopback(server_port)), stand_in_(std::move(stand_in)) {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        sockaddr_in own = loopback(0);
        socklen_t size = sizeof own;
        auto* const address = reinterpret_cast<sockaddr*>(&own);
        if (bind(listener_, address, size) != 0 || listen(listener_, 64) != 0 ||
            getsockname(listener_, address, &size) != 0)
            throw std::runtime_error("cannot listen");
        url_ = "http://127.0.0.1:" + std::to_string(ntohs(own.sin_port));
        thread_ = std::thread([this] {
            while (!done_)
                work();
        });
    }
    ~Proxy() {
        done_ = true;
        thread_.join();
        close(listener_);
        for (const Pair& pair : pairs_)
            hang_up(pair);
    }
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    const std::string& url() const { return url_; }
    std::string host_and_port() const { return url_.substr(url_.rfind('/') + 1); }
    /// From now on whatever is passed on takes so long, one thing after the other.
    void be_long(std::chrono::milliseconds way) { way_ = way; }
    /// Returns once it is so. While `holding`, the first bytes that the client of each such connection sends
    /// arrive all the same.
    void become(State state, std::size_t first_bytes = 0) {
        first_bytes_ = first_bytes;
        state_ = state;
        while (seen_ != state)
            std::this_thread::yield();
    }

  private:
    struct Pair {
        int client;
        int server;
        bool client_sends = true;
        bool ended = false;
        /// So many bytes of what the client sends are passed on.
        std::size_t left = unlimited;
    };

    static constexpr std::size_t unlimited = SIZE_MAX;

    static sockaddr_in loopback(int port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<in_port_t>(port));
        return address;
    }

    static void hang_up(const Pair& pair) {
        close(pair.client);
        close(pair.server);
    }

    void work() {
        const State state = state_;
        for (Pair& pair : pairs_) {
            if (state != State::holding) pair.left = unlimited;
            if (state == State::holding && seen_ != State::holding) pair.left = first_bytes_;
        }
        seen_ = state;
        std::vector<pollfd> ready;
        if (state != State::silent) {
            ready.push_back({listener_, POLLIN, 0});
            for (const Pair& pair : pairs_) {
                const bool is_heard = pair.client_sends && pair.left > 0 && state != State::deaf;
                ready.push_back({is_heard ? pair.client : -1, POLLIN, 0});
                ready.push_back({pair.left > 0 && state != State::stuck ? pair.server : -1, POLLIN, 0});
            }
        }
        poll(ready.data(), ready.size(), 10);
        if (state == State::silent) return;
        accept_one();
        for (Pair& pair : pairs_) {
            if (state == State::cutting) pair.ended = true;
            if (pair.left == 0) continue;
            if (!pair.ended && pair.client_sends && state != State::deaf)
                pair.client_sends = pass(pair.client, pair.server, pair.left);
            // The end of what a client sends is told to the server, whose answer still comes through.
            if (!pair.client_sends) shutdown(pair.server, SHUT_WR);
            std::size_t all = unlimited;
            if (!pair.ended && state != State::stuck)
                pair.ended = !pass(pair.server, state == State::mute ? -1 : pair.client, all);
            if (pair.ended) hang_up(pair);
        }
        pairs_.remove_if([](const Pair& pair) { return pair.ended; });
    }

    void accept_one() {
        const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) return;
        const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const bool reached =
            connect(server, reinterpret_cast<const sockaddr*>(&server_), sizeof server_) == 0;
        if (!reached && !stand_in_.empty()) answer(client);
        pairs_.push_back({client, server, true, !reached});
    }

    // Once there is a request.
    void answer(int client) const {
        pollfd readable{client, POLLIN, 0};
        char bytes[16384];
        if (poll(&readable, 1, 1000) <= 0 || recv(client, bytes, sizeof bytes, MSG_DONTWAIT) <= 0) return;
        send(client, stand_in_.data(), stand_in_.size(), MSG_NOSIGNAL);
    }

    // False where there is nothing more to come. What is passed on is taken off `left`.
    bool pass(int from, int to, std::size_t& left) const {
        char bytes[16384];
        const ssize_t size = recv(from, bytes, std::min(sizeof bytes, left), MSG_DONTWAIT);
        if (size < 0) return errno == EAGAIN || errno == EINTR;
        if (left != unlimited) left -= static_cast<std::size_t>(size);
        if (size > 0 && to < 0) return true;
        std::this_thread::sleep_for(way_.load());
        return size > 0 && send(to, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL) == size;
    }

    const sockaddr_in server_;
    const std::string stand_in_;
    int listener_ = -1;
    std::string url_;
    std::list<Pair> pairs_;
    std::atomic<State> state_{State::open};
    std::atomic<State> seen_{State::open};
    std::atomic<std::size_t> first_bytes_{0};
    std::atomic<std::chrono::milliseconds> way_{std::chrono::milliseconds::zero()};
    std::atomic<bool> done_{false};
    std::thread thread_;
};

}  // namespace sema::test
