#include "tests/support/redis_server.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sema::test {
namespace {

namespace fs = std::filesystem;

/// A connection to the server's Unix socket that carries one command.
class Exchange {
  public:
    explicit Exchange(const fs::path& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        std::strncpy(to.sun_path, path.c_str(), sizeof to.sun_path - 1);
        const timeval limit{10, 0};
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return;
        const int reason = errno;
        ::close(socket_);
        throw std::system_error(reason, std::generic_category(), "connect to " + path.string());
    }
    ~Exchange() { ::close(socket_); }
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    void send(const std::vector<std::string>& words) const {
        std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
        for (const std::string& word : words)
            bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
        if (::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
            throw std::system_error(errno, std::generic_category(), "send to redis");
    }

    /// Appends what the next value of the answer holds.
    void receive(std::vector<std::string>& texts) {
        const std::string line = receive_line();
        const std::string rest = line.substr(1);
        switch (line.front()) {
            case '-':
                throw std::runtime_error("redis says: " + rest);
            case '$':
                texts.push_back(rest == "-1" ? "(nil)" : receive_bytes(std::stoul(rest)));
                break;
            case '*':
                if (rest == "-1") texts.emplace_back("(nil)");
                for (int left = std::stoi(rest); left > 0; --left)
                    receive(texts);
                break;
            default:
                texts.push_back(rest);
        }
    }

  private:
    void fill() {
        char bytes[16384];
        const ssize_t size = ::recv(socket_, bytes, sizeof bytes, 0);
        if (size <= 0) throw std::runtime_error("redis gave no whole answer");
        received_.append(bytes, static_cast<std::size_t>(size));
    }

    std::string receive_line() {
        auto end = received_.find("\r\n");
        while (end == std::string::npos) {
            fill();
            end = received_.find("\r\n");
        }
        std::string line = received_.substr(0, end);
        received_.erase(0, end + 2);
        return line;
    }

    std::string receive_bytes(std::size_t size) {
        while (received_.size() < size + 2)
            fill();
        std::string bytes = received_.substr(0, size);
        received_.erase(0, size + 2);
        return bytes;
    }

    int socket_;
    std::string received_;
};

}  // namespace

RedisServer::RedisServer(RedisOptions options) : options_(std::move(options)), port_(options_.port) {
    const auto program = find_engine(options_.engine);
    if (!program) throw std::runtime_error("no server of " + options_.engine + " is on this machine");
    if (port_ == 0) port_ = reserved_.emplace().number();
    // What the program is called decides what it does.
    fs::create_symlink(fs::canonical(*program), folder_.path() / "redis-server");
    std::ofstream config(folder_.path() / "redis.conf");
    config << "port " << port_ << "\nbind " << options_.address << "\nprotected-mode no\ndir "
           << folder_.path() << "\nunixsocket " << socket()
           << "\nsave \"\"\nappendonly yes\nappendfsync always\n";
    for (const std::string& line : options_.config)
        config << line << '\n';
    config.close();
    start();
}

std::string RedisServer::url(int database) const {
    return "redis://" + options_.address + ":" + std::to_string(port_) + "/" + std::to_string(database);
}

std::string RedisServer::unix_url(int database) const {
    return "redis+unix://" + socket().string() + (database == 0 ? "" : "?db=" + std::to_string(database));
}

void RedisServer::start() {
    server_ = std::make_unique<Program>(
        std::vector<std::string>{folder_.path() / "redis-server", folder_.path() / "redis.conf"},
        options_.program);
    if (!eventually([this] { return server_->ended() || serves(); }) || server_->ended())
        throw std::runtime_error(options_.engine + " did not start; it wrote: " + log());
}

bool RedisServer::serves() const {
    try {
        return command({"PING"}) == std::vector<std::string>{"PONG"};
    } catch (const std::exception&) {
        return false;  // It does not listen yet, or it is still loading its data.
    }
}

void RedisServer::kill9() {
    server_->signal(SIGKILL);
    server_->wait();
}

int RedisServer::terminate() {
    server_->signal(SIGTERM);
    return server_->wait();
}

void RedisServer::restart() {
    kill9();
    start();
}

std::vector<std::string> RedisServer::command(const std::vector<std::string>& words) const {
    return redis_command(socket(), words);
}

std::vector<std::string> redis_command(const fs::path& socket, const std::vector<std::string>& words) {
    Exchange exchange(socket);
    exchange.send(words);
    std::vector<std::string> texts;
    exchange.receive(texts);
    return texts;
}

}  // namespace sema::test
