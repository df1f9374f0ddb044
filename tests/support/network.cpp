#include "tests/support/network.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace sema::test {
namespace {

/// `ip` with these arguments, in the test's namespace or another. Throws where it fails.
void ip(std::vector<std::string> arguments, int space = -1) {
    const char* program = "ip";
    for (const char* path : {"/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"}) {
        if (access(path, X_OK) == 0) program = path;
    }
    std::string line = "ip";
    for (const std::string& argument : arguments)
        line += ' ' + argument;
    arguments.insert(arguments.begin(), program);
    ProgramOptions options;
    options.network = space;
    const Finished run = run_program(std::move(arguments), options);
    if (run.status != 0) throw std::runtime_error(line + ": " + run.err);
}

int own_namespace() {
    const int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw std::runtime_error("no network namespace of one's own can be opened");
    return fd;
}

/// Who is not root becomes that in a user namespace, where it may make others. False where that is refused.
bool become_able() {
    if (geteuid() == 0) return true;
    const std::string user = std::to_string(geteuid());
    const std::string group = std::to_string(getegid());
    if (unshare(CLONE_NEWUSER) != 0) return false;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
    return true;
}

constexpr const char* subnet = "10.213.0.";

}  // namespace

std::unique_ptr<Network> Network::make(std::string& why_not) {
    if (!become_able() || unshare(CLONE_NEWNET) != 0) {
        why_not = std::string("unshare: ") + std::strerror(errno);
        return nullptr;
    }
    try {
        ip({"link", "set", "lo", "up"});
        ip({"link", "add", "bridge", "type", "bridge"});
        ip({"addr", "add", subnet + std::string("254/24"), "dev", "bridge"});
        ip({"link", "set", "bridge", "up"});
    } catch (const std::exception& error) {
        why_not = error.what();
        return nullptr;
    }
    return std::unique_ptr<Network>(new Network);
}

Network::~Network() {
    for (const Machine& machine : machines_)
        close(machine.space);
}

std::size_t Network::add() {
    const std::size_t number = machines_.size();
    const int home = own_namespace();
    if (unshare(CLONE_NEWNET) != 0) throw std::runtime_error("no further network namespace can be made");
    const int space = own_namespace();
    if (setns(home, CLONE_NEWNET) != 0) throw std::runtime_error("no way back to the first namespace");
    close(home);

    const std::string port = "port" + std::to_string(number);
    const std::string address = subnet + std::to_string(number + 1);
    const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(space);
    ip({"link", "add", port, "type", "veth", "peer", "name", "wire", "netns", path});
    ip({"link", "set", port, "master", "bridge", "up"});
    ip({"link", "set", "lo", "up"}, space);
    ip({"addr", "add", address + "/24", "dev", "wire"}, space);
    ip({"link", "set", "wire", "up"}, space);
    machines_.push_back({space, address});
    return number;
}

ProgramOptions Network::on(std::size_t machine) const {
    ProgramOptions options;
    options.network = machines_.at(machine).space;
    return options;
}

void Network::link(std::size_t machine, const std::string& state) const {
    ip({"link", "set", "port" + std::to_string(machine), state});
}

void Network::route(const std::string& change, std::size_t from, std::size_t to) const {
    ip({"route", change, "blackhole", address(to) + "/32"}, machines_.at(from).space);
}

}  // namespace sema::test
