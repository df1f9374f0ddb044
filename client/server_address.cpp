#include "client/server_address.hpp"

#include "common/given_text.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace sema {
namespace {

struct UrlCleanup {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlCleanup>;

std::optional<std::string> part(const Url& url, CURLUPart what) {
    char* text = nullptr;
    if (curl_url_get(url.get(), what, &text, 0) != CURLUE_OK) return std::nullopt;
    std::string copy(text);
    curl_free(text);
    return copy;
}

// An address that leads to the machine that asks for it: a loopback one, or the one that stands for all of a
// server's own.
bool is_own(const in_addr& address) {
    const std::uint32_t number = ntohl(address.s_addr);
    return number >> 24 == IN_LOOPBACKNET || number == INADDR_ANY;
}

bool is_own(const in6_addr& address) {
    if (!IN6_IS_ADDR_V4MAPPED(&address))
        return IN6_IS_ADDR_LOOPBACK(&address) || IN6_IS_ADDR_UNSPECIFIED(&address);
    in_addr mapped{};
    std::memcpy(&mapped, address.s6_addr + 12, sizeof mapped);
    return is_own(mapped);
}

// RFC 6761, section 6.3: so are all names that end in localhost.
bool is_local(std::string_view host) {
    in_addr v4{};
    in6_addr v6{};
    const std::string text(host);
    if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return is_own(v4);
    if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) return is_own(v6);
    if (host.ends_with('.')) host.remove_suffix(1);
    return host == "localhost" || host.ends_with(".localhost");
}

// In lower case, and without brackets and zone.
std::string plain_host(std::string host) {
    if (host.starts_with('[')) host = host.substr(1, host.find_first_of("%]") - 1);
    for (char& c : host)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return host;
}

// Of `https//HOST`, which would be the path //HOST on a host named https.
std::string_view scheme_without_colon(std::string_view text) {
    const std::string_view word = text.substr(0, text.find('/'));
    const std::string scheme = plain_host(std::string(word));
    const bool is_scheme = scheme == "http" || scheme == "https" || scheme == "unix";
    return is_scheme && text.substr(word.size()).starts_with("//") ? word : "";
}

// libcurl takes no longer text.
constexpr std::size_t longest_pem = 8'000'000;

TlsFiles::Content content_of(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return nullptr;
    std::string content;
    std::array<char, 16384> bytes;
    ssize_t size = 0;
    while (content.size() <= longest_pem) {
        size = read(file, bytes.data(), bytes.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        content.append(bytes.data(), static_cast<std::size_t>(size));
    }
    close(file);
    if (size < 0 || content.size() > longest_pem) return nullptr;
    return std::make_shared<const std::string>(std::move(content));
}

}  // namespace

Expected<ServerAddress> parse_server_address(std::string_view text) {
    const auto refuse = [&](const std::string& why) {
        return failure("the server's address " + why +
                       ": write it as http://HOST:PORT, https://HOST or unix:/PATH");
    };
    constexpr std::string_view unix_scheme = "unix:";
    if (text.substr(0, unix_scheme.size()) == unix_scheme) {
        const std::string path(text.substr(unix_scheme.size()));
        if (path.empty() || path.front() != '/') return refuse("names no absolute path after unix:");
        return ServerAddress{"http://localhost", path, std::string(text), "localhost", true, true};
    }

    if (const std::string_view scheme = scheme_without_colon(text); !scheme.empty())
        return refuse("lacks the colon behind " + std::string(scheme));
    // What begins with a host, as people write it.
    const bool is_bare =
        text.find(":/") == std::string_view::npos && text.find_first_of("./") != 0 && !text.empty();
    const std::string whole = (is_bare ? "http://" : "") + std::string(text);
    const Url url(curl_url());
    if (!url) throw std::bad_alloc();
    if (curl_url_set(url.get(), CURLUPART_URL, whole.c_str(), 0) != CURLUE_OK) return refuse("is not a URL");
    const auto scheme = part(url, CURLUPART_SCHEME);
    if (scheme != "http" && scheme != "https") return refuse("is not an http URL");
    if (part(url, CURLUPART_QUERY) || part(url, CURLUPART_FRAGMENT))
        return refuse("has a query or a fragment");

    const auto without_end_slash = [](std::string address) {
        while (!address.empty() && address.back() == '/')
            address.pop_back();
        return address;
    };
    ServerAddress address;
    address.base_url = without_end_slash(part(url, CURLUPART_URL).value_or(""));
    address.host = plain_host(part(url, CURLUPART_HOST).value_or(""));
    address.names_port = part(url, CURLUPART_PORT).has_value();
    address.local = is_local(address.host);
    curl_url_set(url.get(), CURLUPART_USER, nullptr, 0);
    curl_url_set(url.get(), CURLUPART_PASSWORD, nullptr, 0);
    address.name = without_end_slash(part(url, CURLUPART_URL).value_or(""));
    return address;
}

Expected<std::vector<ServerAddress>> parse_server_addresses(std::string_view text) {
    std::vector<ServerAddress> servers;
    for (;;) {
        const auto comma = text.find(',');
        auto server = parse_server_address(trimmed(text.substr(0, comma)));
        if (!server) return tl::unexpected(server.error());
        servers.push_back(std::move(*server));
        if (comma == text.npos) return servers;
        text.remove_prefix(comma + 1);
    }
}

std::string port_advice(const ServerAddress& server) {
    if (server.names_port || server.is_https()) return "";
    return "no port is given, so port 80 was tried: semad's own is 7717, as in http://HOST:7717";
}

void read_tls_files(std::vector<ServerAddress>& servers) {
    // The same file may be named several times, and be a pipe.
    std::map<std::string, TlsFiles::Content> all;
    const auto read_once = [&all](const std::string& path, TlsFiles::Content& content) {
        if (path.empty()) return;
        const auto [found, is_new] = all.try_emplace(path);
        if (is_new) found->second = content_of(path);
        content = found->second;
    };
    for (ServerAddress& server : servers) {
        if (!server.is_https()) continue;
        read_once(server.tls.authorities, server.tls.authorities_read);
        read_once(server.tls.certificate, server.tls.certificate_read);
        read_once(server.tls.key, server.tls.key_read);
    }
}

}  // namespace sema
