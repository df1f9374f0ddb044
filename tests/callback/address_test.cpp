#include "server/callback/address.hpp"

#include "tests/support/catch.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

using namespace sema::callback;

TEST_CASE("addresses of the internet are public, and no others") {
    for (const char* text : {"1.1.1.1",         "93.184.216.34",    "9.255.255.255",   "11.0.0.0",
                             "100.63.255.255",  "100.128.0.0",      "126.255.255.255", "128.0.0.0",
                             "169.253.255.255", "172.15.255.255",   "172.32.0.0",      "192.167.255.255",
                             "192.169.0.0",     "198.17.255.255",   "223.255.255.255", "2606:4700:4700::1111",
                             "2a00::1",         "64:ff9b::1.1.1.1", "::ffff:1.1.1.1",  "2002:0101:0101::1"}) {
        CAPTURE(text);
        CHECK(is_public(*parse_address(text)));
    }
    for (const char* text :
         {"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255",
          "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.0.1",
          "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
          "240.0.0.1", "255.255.255.255", "168.63.129.16",
          // IPv6: none, this machine, local, private, multicast, documentation, discarded, unassigned
          "::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
          "3fff::1", "100::1", "4000::1", "::7f00:1", "5f00::1",
          // with an IPv4 address in them: mapped, translated, 6to4, Teredo
          "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254",
          "64:ff9b:1::1.1.1.1", "2002:7f00:1::1", "2002:a9fe:a9fe::1",
          "2002:c0a8:1::", "2001:0:1:2::80ff:fffe", "2001::5601:5601"}) {
        CAPTURE(text);
        CHECK_FALSE(is_public(*parse_address(text)));
    }
}

TEST_CASE("a network has the addresses that begin like it") {
    const auto has = [](const char* network, const char* address) {
        return parse_network(network)->contains(*parse_address(address));
    };
    CHECK(has("10.0.0.0/8", "10.255.0.1"));
    CHECK_FALSE(has("10.0.0.0/8", "11.0.0.0"));
    CHECK(has("10.1.2.0/23", "10.1.3.255"));
    CHECK_FALSE(has("10.1.2.0/23", "10.1.4.0"));
    CHECK(has("10.1.2.3", "10.1.2.3"));
    CHECK_FALSE(has("10.1.2.3", "10.1.2.2"));
    CHECK(has("10.1.2.3", "::ffff:10.1.2.3"));
    CHECK(has("0.0.0.0/0", "127.0.0.1"));
    CHECK_FALSE(has("0.0.0.0/0", "::1"));
    CHECK(has("fd00::/8", "fdff::1"));
    CHECK_FALSE(has("fd00::/8", "fc00::1"));
    CHECK(has("::/0", "fd00::1"));
    // An IPv4 address is in a network of IPv6 only where that is one of such addresses.
    for (const auto& [network, address] : {std::pair("::ffff:0:0/96", "127.0.0.1"),
                                           {"64:ff9b::/96", "64:ff9b::127.0.0.1"},
                                           {"64:ff9b:1::/48", "64:ff9b:1::127.0.0.1"},
                                           {"2002::/16", "2002:7f00:1::1"},
                                           {"2001::/32", "2001:0:1:2::80ff:fffe"}}) {
        CAPTURE(network);
        CHECK(has(network, address));
        for (const char* wider : {"::/0", "::/1", "::/9", "::/15", "2000::/3"})
            CHECK_FALSE(has(wider, address));
    }
    CHECK(has("::ffff:10.0.0.0/104", "10.0.0.1"));
    CHECK_FALSE(has("::/95", "10.0.0.1"));
    CHECK_FALSE(has("::ffff:0:0/80", "10.0.0.1"));
    for (const char* text : {"", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129", "x/8",
                             "10.0.0.0/8/8", "10.0.0.0/a"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_network(text));
    }
}

TEST_CASE("the address of a socket is the same as its text") {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    inet_pton(AF_INET, "10.1.2.3", &four.sin_addr);
    CHECK(address_of(reinterpret_cast<sockaddr&>(four)) == parse_address("10.1.2.3"));
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    inet_pton(AF_INET6, "fd00::1", &six.sin6_addr);
    CHECK(address_of(reinterpret_cast<sockaddr&>(six)) == parse_address("fd00::1"));
    sockaddr other{};
    other.sa_family = AF_UNIX;
    CHECK_FALSE(address_of(other));
}

TEST_CASE("this machine is known by its loopback addresses") {
    CHECK(is_loopback(*parse_address("127.0.0.1")));
    CHECK(is_loopback(*parse_address("127.9.9.9")));
    CHECK(is_loopback(*parse_address("::1")));
    CHECK(is_loopback(*parse_address("::ffff:127.0.0.1")));
    CHECK_FALSE(is_loopback(*parse_address("10.0.0.1")));
}
