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

}  // namespace

void measure_disk(const std::string& folder, int rounds) {
    constexpr int blocks = 256;  // as a log does, go over the same blocks again and again
    const std::string path = folder + "/fdatasync";
    const std::array<char, 4096> block{};
    const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    check(file >= 0, path);
    const auto write_block = [&](int number) {
        const auto offset = static_cast<off_t>(block.size()) * number;
        check(pwrite(file, block.data(), block.size(), offset) == static_cast<ssize_t>(block.size()), path);
    };
    for (int i = 0; i < blocks; ++i)
        write_block(i);
    check(fsync(file) == 0, path);
    Samples samples;
    for (int i = 0; i < rounds; ++i) {
        const auto start = Clock::now();
        write_block(i % blocks);
        check(fdatasync(file) == 0, path);
        samples.add(Clock::now() - start);
    }
    close(file);
    unlink(path.c_str());
    report("fdatasync", samples);
}

void measure_loopback(int rounds) {
    using boost::asio::ip::tcp;
    boost::asio::io_context io;
    tcp::acceptor acceptor(io, {boost::asio::ip::address_v4::loopback(), 0});
    std::array<char, 200> message{};
    std::thread peer([&acceptor, size = message.size()] {
        tcp::socket socket = acceptor.accept();
        socket.set_option(tcp::no_delay(true));
        std::vector<char> echo(size);
        boost::system::error_code closed;
        while (boost::asio::read(socket, boost::asio::buffer(echo), closed) == size) {
            boost::asio::write(socket, boost::asio::buffer(echo));
        }
    });
    Samples samples;
    {
        tcp::socket socket(io);
        socket.connect(acceptor.local_endpoint());
        socket.set_option(tcp::no_delay(true));
        for (int i = 0; i < rounds; ++i) {
            const auto start = Clock::now();
            boost::asio::write(socket, boost::asio::buffer(message));
            boost::asio::read(socket, boost::asio::buffer(message));
            samples.add(Clock::now() - start);
        }
    }
    peer.join();
    report("loopback", samples);
}

void measure_redis(unsigned short port, int rounds) {
    using boost::asio::ip::tcp;
    boost::asio::io_context io;
    tcp::socket socket(io);
    socket.connect({boost::asio::ip::address_v4::loopback(), port});
    socket.set_option(tcp::no_delay(true));
    const std::string command = "*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n$200\r\n" + std::string(200, 'x') + "\r\n";
    std::array<char, 5> answer{};
    Samples samples;
    for (int i = 0; i < rounds; ++i) {
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
