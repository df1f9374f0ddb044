#include "client/server_address.hpp"

#include "tests/support/catch.hpp"

using sema::parse_server_address;

TEST_CASE("a server is addressed by a URL") {
    const auto plain = parse_server_address("http://build:7717");
    REQUIRE(plain);
    CHECK(plain->base_url == "http://build:7717");
    CHECK(plain->name == "http://build:7717");
    CHECK(plain->unix_socket.empty());
    CHECK_FALSE(plain->local);
    CHECK(parse_server_address("https://host/sema//")->base_url == "https://host/sema");
    CHECK(parse_server_address("HTTP://host/")->base_url == "http://host");
}

TEST_CASE("a server's address without a scheme is an http one") {
    CHECK(parse_server_address("localhost:7717")->base_url == "http://localhost:7717");
    CHECK(parse_server_address("localhost:7717")->local);
    CHECK(parse_server_address("build:7717/sema/")->base_url == "http://build:7717/sema");
    CHECK(parse_server_address("127.0.0.1")->name == "http://127.0.0.1");
    CHECK(parse_server_address("[::1]:7717")->base_url == "http://[::1]:7717");
    CHECK(parse_server_address("me:secret@host:1")->name == "http://host:1");
}

TEST_CASE("it is known whether a port is written") {
    CHECK(parse_server_address("http://build:80")->names_port);
    CHECK(parse_server_address("build:7717")->names_port);
    CHECK(parse_server_address("unix:/run/s")->names_port);
    CHECK_FALSE(parse_server_address("http://build/x")->names_port);
    CHECK_FALSE(parse_server_address("build")->names_port);
}

TEST_CASE("a server on this machine is known as such, however it is written") {
    for (const char* url : {"http://127.0.0.1:1", "http://127.8.9.1", "http://127.1", "http://2130706433",
                            "http://0.0.0.0", "http://0", "http://localhost:1", "http://LocalHost",
                            "http://localhost.", "http://a.b.localhost", "http://A.LOCALHOST.:1",
                            "http://[::1]:1", "http://[0:0::1]", "http://[::]", "http://[::ffff:127.0.0.1]",
                            "http://[::FFFF:7f00:1]", "http://[::ffff:0.0.0.0]", "http://[::1%25lo]:1"}) {
        CAPTURE(url);
        CHECK(parse_server_address(url)->local);
    }
    for (const char* url : {"http://128.0.0.1", "http://0.0.0.1", "http://localhost.example",
                            "http://notlocalhost", "http://[::2]", "http://[::ffff:10.0.0.1]"}) {
        CAPTURE(url);
        CHECK_FALSE(parse_server_address(url)->local);
    }
}

TEST_CASE("a password in a URL is used and not named") {
    const auto address = parse_server_address("https://me:secret@host:1/x");
    REQUIRE(address);
    CHECK(address->base_url == "https://me:secret@host:1/x");
    CHECK(address->name == "https://host:1/x");
}

TEST_CASE("a server is addressed by its socket file") {
    const auto address = parse_server_address("unix:/run/semad.sock");
    REQUIRE(address);
    CHECK(address->unix_socket == "/run/semad.sock");
    CHECK(address->base_url == "http://localhost");
    CHECK(address->name == "unix:/run/semad.sock");
    CHECK(address->local);
}

TEST_CASE("several servers are addressed with commas between") {
    const auto servers = sema::parse_server_addresses("http://one:1, other:2 ,unix:/run/s");
    REQUIRE(servers);
    REQUIRE(servers->size() == 3);
    CHECK((*servers)[0].name == "http://one:1");
    CHECK((*servers)[1].name == "http://other:2");
    CHECK((*servers)[2].unix_socket == "/run/s");
    CHECK(sema::parse_server_addresses("http://one")->size() == 1);
    for (const char* text : {"", ",", "http://one,", ",http://one", "http://one,,http://other", "one,a b"}) {
        CAPTURE(text);
        CHECK_FALSE(sema::parse_server_addresses(text));
    }
}

TEST_CASE("a scheme without its colon is no host") {
    CHECK(parse_server_address("https//127.0.0.1:7717").error().message ==
          "the server's address lacks the colon behind https: write it as http://HOST:PORT, https://HOST or "
          "unix:/PATH");
    CHECK(parse_server_address("https/x")->base_url == "http://https/x");
    CHECK(parse_server_address("build:7717//x")->base_url == "http://build:7717//x");
}

TEST_CASE("what is no server's address is refused") {
    for (const char* text : {"", "build:port", "a b", "/run/semad.sock", "./semad.sock", "ftp://host",
                             "file:///etc", "http://", "http://a b", "https//host", "HTTP//host:7717",
                             "unix//run/s", "unix:", "unix:relative", "http://host/?x=1", "http://host/#x"}) {
        CAPTURE(text);
        const auto address = parse_server_address(text);
        REQUIRE_FALSE(address);
        CHECK(address.error().message.find("write it as http://HOST:PORT, https://HOST or unix:/PATH") !=
              std::string::npos);
    }
}
