#pragma once

#include "common/error.hpp"
#include "server/callback/address.hpp"
#include "server/callback/receiver.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sema::callback {

/// Receivers that the server may call.
struct Pattern {
    /// In lower case: a name, `*.` and a name, or `*`. Empty where it is a network.
    std::string host;
    std::optional<Network> network;
    /// Nothing: any.
    std::optional<std::uint16_t> port;

    bool operator==(const Pattern& other) const;
};

/// `hooks.example.com`, `*.ci.example.com:8443`, `*`, `localhost`, `10.1.2.3`, `10.0.0.0/8`,
/// `[fd00::1]:8443`.
Expected<Pattern> parse_pattern(const std::string& text);

/// The receivers that one of the patterns names. An address that is not of the internet (is_public()) has to
/// be named by itself, as an address, a network, or `localhost`: a host's name is not enough, since its owner
/// chooses the address.
class AllowList {
  public:
    AllowList() = default;
    explicit AllowList(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {}

    bool empty() const { return patterns_.empty(); }
    /// What is known of the receiver before its name was looked up. The error says what to do.
    Expected<void> check(const Receiver& receiver) const;
    /// Whether that receiver may be connected to at this address.
    bool allows(const std::string& host, std::uint16_t port, const Address& address) const;

    bool operator==(const AllowList&) const = default;

  private:
    bool names_host(const std::string& host, std::uint16_t port) const;

    std::vector<Pattern> patterns_;
};

}  // namespace sema::callback
