#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace sema::test {

/// What a ScriptedServer does with one connection.
struct Scene {
    enum class Wait { for_request, for_end_of_input };
    Wait wait = Wait::for_request;
    /// Sent as it is, and then the connection is closed. Nothing is sent where it is empty.
    std::string answer;
    /// How long the answer is held back, as a slow network does.
    std::chrono::milliseconds delay{};
};

/// An HTTP answer.
inline std::string http(const std::string& status, const std::string& body, const std::string& headers = "") {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers +
           "Connection: close\r\n\r\n" + body;
}

/// A server on a free loopback port that plays one scene for each connection, in order, and remembers what
/// it was sent: for what a real server never does, or not at the moment a test needs it.
class ScriptedServer {
  public:
    explicit ScriptedServer(std::vector<Scene> scenes) : scenes_(std::move(scenes)) {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* raw = reinterpret_cast<sockaddr*>(&address);
        if (bind(listener_, raw, size) != 0 || listen(listener_, 16) != 0 ||
            getsockname(listener_, raw, &size) != 0)
            throw std::runtime_error("cannot listen");
        url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        player_ = std::thread([this] { play(); });
    }

    ~ScriptedServer() {
        shutdown(listener_, SHUT_RDWR);
        player_.join();
        close(listener_);
    }

    ScriptedServer(const ScriptedServer&) = delete;
    ScriptedServer& operator=(const ScriptedServer&) = delete;

    const std::string& url() const { return url_; }

    /// What each connection so far has sent.
    std::vector<std::string> requests() const {
        const std::lock_guard lock(mutex_);
        return requests_;
    }

  private:
    void play() {
        for (const Scene& scene : scenes_) {
            const int connection = accept(listener_, nullptr, nullptr);
            if (connection < 0) return;
            play(scene, connection);
            close(connection);
        }
    }

    void play(const Scene& scene, int connection) {
        std::string request;
        std::size_t index = 0;
        {
            const std::lock_guard lock(mutex_);
            index = requests_.size();
            requests_.emplace_back();
        }
        char bytes[4096];
        while (scene.wait == Scene::Wait::for_end_of_input || !is_complete(request)) {
            pollfd readable[] = {{connection, POLLIN, 0}, {listener_, POLLHUP, 0}};
            poll(readable, 2, -1);
            if ((readable[1].revents & POLLHUP) != 0) return;
            const ssize_t size = read(connection, bytes, sizeof bytes);
            if (size <= 0) break;
            request.append(bytes, static_cast<std::size_t>(size));
            const std::lock_guard lock(mutex_);
            requests_[index] = request;
        }
        if (scene.delay.count() > 0) std::this_thread::sleep_for(scene.delay);
        std::size_t sent = 0;
        while (sent < scene.answer.size()) {
            const ssize_t size =
                send(connection, scene.answer.data() + sent, scene.answer.size() - sent, MSG_NOSIGNAL);
            if (size <= 0) break;
            sent += static_cast<std::size_t>(size);
        }
    }

    static bool is_complete(const std::string& request) {
        const auto end = request.find("\r\n\r\n");
        if (end == std::string::npos) return false;
        const std::string length = "Content-Length: ";
        const auto at = request.find(length);
        const std::size_t body = at < end ? std::stoul(request.substr(at + length.size())) : 0;
        return request.size() >= end + 4 + body;
    }

    const std::vector<Scene> scenes_;
    int listener_ = -1;
    std::string url_;
    std::thread player_;
    mutable std::mutex mutex_;
    std::vector<std::string> requests_;
};

}  // namespace sema::test
