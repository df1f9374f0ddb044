#include "bench/baseline.hpp"

#include "bench/figures.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

namespace sema::bench {
namespace {

using boost::asio::ip::tcp;

[[noreturn]] void fail(int error, const std::string& what) {
    throw std::system_error(error, std::generic_category(), what);
}

void check(bool done, const std::string& what) {
    if (!done) fail(errno, what);
}

struct Command {
    std::string name;
    std::vector<char*> arguments;  // ended by a null pointer, as posix_spawn wants them
    Samples samples;
};

/// What it returns points into `words`.
std::vector<Command> commands_of(const std::vector<std::string>& words) {
    std::vector<Command> commands;
    bool begins = true;
    for (const auto& word : words) {
        if (word == ",") {
            begins = true;
        } else if (begins) {
            commands.push_back({.name = word, .arguments = {}, .samples = {}});
            begins = false;
        } else {
            commands.back().arguments.push_back(const_cast<char*>(word.c_str()));
        }
    }
    for (auto& command : commands) {
        if (command.arguments.empty()) throw std::runtime_error(command.name + ": no command");
        command.arguments.push_back(nullptr);
    }
    return commands;
}

void run_and_wait(Command& command, const posix_spawn_file_actions_t& actions) {
    const auto start = Clock::now();
    pid_t child = 0;
    const int error =
        posix_spawnp(&child, command.arguments[0], &actions, nullptr, command.arguments.data(), environ);
    if (error != 0) fail(error, command.arguments[0]);
    int status = 0;
    check(waitpid(child, &status, 0) == child, command.name);
    command.samples.add(Clock::now() - start);
    if (status != 0) throw std::runtime_error(command.name + " did not end with status 0");
}

/// A file in which one block after the other is written, and is on the disk then. As a log does, it goes over
/// the same blocks again and again, so that its length never changes.
class DurableBlocks {
  public:
    explicit DurableBlocks(const std::string& folder) : path_(folder + "/fdatasync") {
        file_ = open(path_.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
        check(file_ >= 0, path_);
        for (next_ = 0; next_ < count; ++next_)
            write_block();
        check(fsync(file_) == 0, path_);
    }
    DurableBlocks(const DurableBlocks&) = delete;
    DurableBlocks& operator=(const DurableBlocks&) = delete;
    ~DurableBlocks() {
        close(file_);
        unlink(path_.c_str());
    }

    void write_one() {
        next_ = (next_ + 1) % count;
        write_block();
        check(fdatasync(file_) == 0, path_);
    }

  private:
    static constexpr int count = 256;

    void write_block() {
        constexpr std::array<char, 4096> block{};
        const auto offset = static_cast<off_t>(block.size()) * next_;
        check(pwrite(file_, block.data(), block.size(), offset) == static_cast<ssize_t>(block.size()), path_);
    }

    std::string path_;
    int file_ = -1;
    int next_ = 0;
};

/// One end of a TCP connection over which messages of 200 bytes go.
class MessageSocket {
  public:
    explicit MessageSocket(boost::asio::io_context& io) : socket(io) {}

    void send() { boost::asio::write(socket, boost::asio::buffer(message_)); }
    /// False when the other end has closed.
    bool receive() {
        boost::system::error_code closed;
        return boost::asio::read(socket, boost::asio::buffer(message_), closed) == message_.size();
    }
    void close() { socket.close(); }

    tcp::socket socket;

  private:
    std::array<char, 200> message_{};
};

/// Both ends of a connection on the loopback interface.
struct LoopbackPair {
    explicit LoopbackPair(boost::asio::io_context& io) : here(io), there(io) {
        tcp::acceptor acceptor(io, {boost::asio::ip::address_v4::loopback(), 0});
        here.socket.connect(acceptor.local_endpoint());
        there.socket = acceptor.accept();
        here.socket.set_option(tcp::no_delay(true));
        there.socket.set_option(tcp::no_delay(true));
    }

    MessageSocket here;
    MessageSocket there;
};

}  // namespace

void measure_disk(const std::string& folder, int rounds) {
    DurableBlocks blocks(folder);
    Samples samples;
    for (int i = 0; i < rounds; ++i) {
        const auto start = Clock::now();
        blocks.write_one();
        samples.add(Clock::now() - start);
    }
    report("fdatasync", samples);
}

void measure_loopback(int rounds) {
    boost::asio::io_context io;
    LoopbackPair connection(io);
    std::thread peer([&connection] {
        while (connection.there.receive())
            connection.there.send();
    });
    Samples samples;
    for (int i = 0; i < rounds; ++i) {
        const auto start = Clock::now();
        connection.here.send();
        connection.here.receive();
        samples.add(Clock::now() - start);
    }
    connection.here.close();
    peer.join();
    report("loopback", samples);
}

void measure_hand_off(const std::string& folder, int rounds) {
    boost::asio::io_context io;
    DurableBlocks blocks(folder);
    LoopbackPair holder(io);
    LoopbackPair waiter(io);
    std::thread peer([&] {
        while (holder.there.receive()) {
            blocks.write_one();
            waiter.there.send();
        }
    });
    Samples samples;
    for (int i = 0; i < rounds; ++i) {
        std::this_thread::sleep_for(rest_before_hand_off);
        const auto start = Clock::now();
        holder.here.send();
        waiter.here.receive();
        samples.add(Clock::now() - start);
    }
    holder.here.close();
    peer.join();
    report("wake", samples);
}

void measure_redis(unsigned short port, int rounds) {
    boost::asio::io_context io;
    tcp::socket socket(io);
    socket.connect({boost::asio::ip::address_v4::loopback(), port});
    socket.set_option(tcp::no_delay(true));
    const std::string command = "*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n$200\r\n" + std::string(200, 'x') + "\r\n";
    std::array<char, 5> answer{};
    Samples samples;
    for (int i = 0; i < rounds; ++i) {
        std::this_thread::sleep_for(rest_before_hand_off);
        const auto start = Clock::now();
        boost::asio::write(socket, boost::asio::buffer(command));
        boost::asio::read(socket, boost::asio::buffer(answer));
        samples.add(Clock::now() - start);
        if (answer[0] != '+') throw std::runtime_error("the Redis refuses a write");
    }
    report("redis", samples);
}

void measure_commands(const std::vector<std::string>& words, int rounds) {
    auto commands = commands_of(words);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    for (int i = 0; i < rounds; ++i)
        for (auto& command : commands)
            run_and_wait(command, actions);
    posix_spawn_file_actions_destroy(&actions);
    for (auto& command : commands)
        report(command.name, command.samples);
}

}  // namespace sema::bench
