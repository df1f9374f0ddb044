#pragma once

#include <array>
#include <optional>
#include <string_view>

struct sockaddr;

namespace sema::callback {

/// An IPv6 address, or an IPv4 one as it is mapped into IPv6 (RFC 4291, section 2.5.5.2).
using Address = std::array<unsigned char, 16>;

/// Without brackets and without a zone.
std::optional<Address> parse_address(std::string_view text);
/// Nothing where it is no IP address.
std::optional<Address> address_of(const sockaddr& socket_address);

/// Those that begin with `length` bits of `base`. An address that leads to an IPv4 one is in none that is
/// wider than what is set aside for addresses of its kind: who names all of IPv6 does not mean IPv4.
struct Network {
    Address base{};
    unsigned length = 128;

    bool contains(const Address& address) const;
};

/// `10.0.0.0/8`, `fd00::/8`, or an address.
std::optional<Network> parse_network(std::string_view text);

/// Whether it is one of the internet's, from wherever: not this machine, not a private, local, shared,
/// reserved or multicast one (RFC 6890), none that leads to such a one (a translated or tunnelled IPv4
/// address), and none under which a cloud gives a machine its secrets.
bool is_public(const Address& address);
bool is_loopback(const Address& address);

}  // namespace sema::callback
