#include "tests/support/web_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

namespace sema::test {
namespace {

namespace fs = std::filesystem;

// Administrators' folders of programs are not in everybody's search path.
std::string found(const std::string& name) {
    for (const char* folder : {"/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"})
        if (fs::exists(fs::path(folder) / name)) return (fs::path(folder) / name).string();
    throw std::runtime_error(name + " is not here (script/bootstrap test installs it)");
}

bool takes_connections(int port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<in_port_t>(port));
    const bool is_taken = ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(socket);
    return is_taken;
}

// In the foreground, with all of its files in its own folder.
std::string nginx_file(const fs::path& folder, const std::string& http) {
    const std::string here = folder.string();
    std::string text = std::string(::geteuid() == 0 ? "user root;\n" : "") +
                       "daemon off;\nworker_processes 1;\npid " + here + "/pid;\nerror_log stderr info;\n" +
                       "events {}\nhttp {\naccess_log " + here + "/access.log;\n";
    for (const std::string kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
        text += kind + "_temp_path " + here + "/" + kind + ";\n";
    return text + http + "\n}\n";
}

}  // namespace

std::vector<std::string> WebProxy::command() const {
    const std::string file = (folder_.path() / "configuration").string();
    if (kind_ == Kind::haproxy) return {found("haproxy"), "-db", "-f", file};
    return {found("nginx"), "-e", "stderr", "-p", folder_.path().string(), "-c", file};
}

void WebProxy::start(const std::string& configuration) {
    std::ofstream(folder_.path() / "configuration")
        << (kind_ == Kind::nginx ? nginx_file(folder_.path(), configuration) : configuration);
    program_ = std::make_unique<Program>(command());
    if (!eventually([&] { return program_->ended() || takes_connections(port()); }) || program_->ended())
        throw std::runtime_error("the proxy did not start: " + log());
}

void WebProxy::kill9() {
    // With its workers, which have the port too.
    program_->signal_group(SIGKILL);
    program_->wait();
    // They may be there a moment longer, and take connections until then.
    if (!eventually([&] { return !takes_connections(port()); }))
        throw std::runtime_error("the proxy cannot be killed");
}

}  // namespace sema::test
