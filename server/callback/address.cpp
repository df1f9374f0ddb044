#include "server/callback/address.hpp"

#include "common/numbers.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>

namespace sema::callback {
namespace {

constexpr std::array<unsigned char, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

Address mapped(const unsigned char* four) {
    Address address{};
    std::copy(mapped_prefix.begin(), mapped_prefix.end(), address.begin());
    std::copy(four, four + 4, address.begin() + 12);
    return address;
}

bool is_v4(const Address& address) {
    return std::equal(mapped_prefix.begin(), mapped_prefix.end(), address.begin());
}

bool begins_like(const Network& network, const Address& address) {
    const unsigned whole = network.length / 8;
    if (!std::equal(network.base.begin(), network.base.begin() + whole, address.begin())) return false;
    const unsigned rest = network.length % 8;
    return rest == 0 || ((network.base[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

bool is_in(const Address& address, std::initializer_list<const char*> networks) {
    return std::any_of(networks.begin(), networks.end(),
                       [&](const char* text) { return parse_network(text)->contains(address); });
}

bool is_public_v4(const Address& address) {
    return !is_in(address, {
                               "0.0.0.0/8",        // this network
                               "10.0.0.0/8",       // private
                               "100.64.0.0/10",    // shared with a provider
                               "127.0.0.0/8",      // this machine
                               "169.254.0.0/16",   // link-local; clouds' metadata
                               "172.16.0.0/12",    // private
                               "192.0.0.0/24",     // protocols
                               "192.0.2.0/24",     // documentation
                               "192.88.99.0/24",   // relays of 6to4
                               "192.168.0.0/16",   // private
                               "198.18.0.0/15",    // benchmarks
                               "198.51.100.0/24",  // documentation
                               "203.0.113.0/24",   // documentation
                               "224.0.0.0/4",      // multicast
                               "240.0.0.0/4",      // reserved; broadcast
                               "168.63.129.16",    // metadata of one cloud
                           });
}

/// The IPv4 address that a packet to this one ends at, where that is how it is made.
std::optional<Address> embedded_v4(const Address& address) {
    // RFC 6052: translated.
    if (parse_network("64:ff9b::/96")->contains(address)) return mapped(&address[12]);
    // RFC 3056: 6to4.
    if (parse_network("2002::/16")->contains(address)) return mapped(&address[2]);
    // RFC 4380: Teredo, where it is written with its bits turned.
    if (parse_network("2001::/32")->contains(address)) {
        std::array<unsigned char, 4> four{};
        for (std::size_t i = 0; i < four.size(); ++i)
            four[i] = static_cast<unsigned char>(~address[12 + i]);
        return mapped(four.data());
    }
    return std::nullopt;
}

}  // namespace

std::optional<Address> parse_address(std::string_view text) {
    const std::string word(text);
    Address address{};
    if (inet_pton(AF_INET6, word.c_str(), address.data()) == 1) return address;
    std::array<unsigned char, 4> four{};
    if (inet_pton(AF_INET, word.c_str(), four.data()) == 1) return mapped(four.data());
    return std::nullopt;
}

std::optional<Address> address_of(const sockaddr& socket_address) {
    if (socket_address.sa_family == AF_INET) {
        sockaddr_in found{};
        std::copy_n(reinterpret_cast<const char*>(&socket_address), sizeof found,
                    reinterpret_cast<char*>(&found));
        return mapped(reinterpret_cast<const unsigned char*>(&found.sin_addr));
    }
    if (socket_address.sa_family == AF_INET6) {
        sockaddr_in6 found{};
        std::copy_n(reinterpret_cast<const char*>(&socket_address), sizeof found,
                    reinterpret_cast<char*>(&found));
        Address address{};
        std::copy_n(found.sin6_addr.s6_addr, address.size(), address.begin());
        return address;
    }
    return std::nullopt;
}

bool Network::contains(const Address& address) const {
    static const std::array networks_of_v4 = {
        *parse_network("::ffff:0:0/96"),   // mapped
        *parse_network("64:ff9b::/96"),    // translated, from anywhere
        *parse_network("64:ff9b:1::/48"),  // translated, within a network
        *parse_network("2002::/16"),       // 6to4
        *parse_network("2001::/32"),       // Teredo
    };
    return begins_like(*this, address) &&
           std::none_of(networks_of_v4.begin(), networks_of_v4.end(), [&](const Network& of_v4) {
               return length < of_v4.length && begins_like(of_v4, address);
           });
}

std::optional<Network> parse_network(std::string_view text) {
    const auto slash = text.find('/');
    const auto base = parse_address(text.substr(0, slash));
    if (!base) return std::nullopt;
    if (slash == text.npos) return Network{*base, 128};
    const bool is_short = text.find(':') == text.npos;
    const auto length = parse_number(std::string(text.substr(slash + 1)), {0, is_short ? 32 : 128});
    if (!length) return std::nullopt;
    return Network{*base, static_cast<unsigned>(*length) + (is_short ? 96 : 0)};
}

bool is_public(const Address& address) {
    if (is_v4(address)) return is_public_v4(address);
    if (const auto inner = embedded_v4(address)) return is_public_v4(*inner);
    // The addresses that the internet uses so far, without those for protocols and documentation.
    return is_in(address, {"2000::/3"}) && !is_in(address, {"2001::/23", "2001:db8::/32", "3fff::/20"});
}

bool is_loopback(const Address& address) {
    return is_in(address, {"127.0.0.0/8", "::1"});
}

}  // namespace sema::callback
