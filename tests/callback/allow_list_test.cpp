#include "server/callback/allow_list.hpp"

#include "tests/support/catch.hpp"

#include <string>
#include <vector>

using namespace sema::callback;
using sema::test::has_text;

namespace {

AllowList list(const std::vector<std::string>& texts) {
    std::vector<Pattern> patterns;
    for (const std::string& text : texts)
        patterns.push_back(parse_pattern(text).value());
    return AllowList(patterns);
}

bool allows(const std::vector<std::string>& patterns, const std::string& url) {
    return list(patterns).check(parse_receiver(url).value()).has_value();
}

bool connects(const std::vector<std::string>& patterns, const std::string& url, const std::string& address) {
    const Receiver receiver = parse_receiver(url).value();
    return list(patterns).allows(receiver.host, receiver.port, *parse_address(address));
}

}  // namespace

TEST_CASE("a pattern names a host, those below a name, a network, each perhaps with a port") {
    CHECK(allows({"hooks.example.com"}, "https://hooks.example.com/x"));
    CHECK(allows({"Hooks.Example.com"}, "https://HOOKS.example.COM:8443/"));
    CHECK(allows({"hooks.example.com"}, "https://hooks.example.com./"));
    CHECK_FALSE(allows({"hooks.example.com"}, "https://a.hooks.example.com/"));
    CHECK_FALSE(allows({"hooks.example.com"}, "https://hooks.example.com.evil.test/"));
    CHECK(allows({"*.example.com"}, "https://a.example.com/"));
    CHECK(allows({"*.example.com"}, "https://a.b.example.com/"));
    CHECK_FALSE(allows({"*.example.com"}, "https://example.com/"));
    CHECK_FALSE(allows({"*.example.com"}, "https://badexample.com/"));
    CHECK(allows({"*.example.com:8443"}, "https://a.example.com:8443/"));
    CHECK_FALSE(allows({"*.example.com:8443"}, "https://a.example.com/"));
    CHECK(allows({"a.test:443"}, "https://a.test/"));
    CHECK(allows({"a.test", "b.test"}, "https://b.test/"));
    CHECK(allows({"*"}, "https://anything.test/"));
    CHECK(allows({"1.1.1.0/24"}, "https://1.1.1.1/"));
    CHECK_FALSE(allows({"1.1.1.0/24"}, "https://1.1.2.1/"));
    CHECK(allows({"[fd00::1]:8443"}, "https://[fd00::1]:8443/"));
    CHECK_FALSE(allows({"[fd00::1]:8443"}, "https://[fd00::1]/"));
    CHECK(allows({"fd00::/8"}, "https://[fd12::1]/"));
    CHECK_FALSE(allows({}, "https://a.test/"));
}

TEST_CASE("a text that is no pattern is refused") {
    for (const std::string text :
         {"",          "http://a.test", "a.test/x",     "a b",      "*.*.test", "a*.test",     "user@a.test",
          "a.test:",   "a.test:0",      "a.test:65536", "a.test:x", "[::1",     "10.0.0.0/99", "*.",
          ".",         "a..b",          ".a",           "*..a",     "127.1",    "2130706433",  "0x7f.0.0.1",
          "0177.0.0.1"}) {
        CAPTURE(text);
        const auto pattern = parse_pattern(text);
        REQUIRE_FALSE(pattern);
        CHECK_THAT(pattern.error().message, has_text("names no receivers"));
    }
}

TEST_CASE("an address that is not of the internet has to be named itself") {
    // A literal is known at once, however it is written.
    for (const std::string url :
         {"http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://[::1]/",
          "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest", "http://0.0.0.0/",
          "http://10.0.0.1/", "http://[64:ff9b::7f00:1]/", "http://[fe80::1]/"}) {
        CAPTURE(url);
        CHECK_FALSE(allows({"*"}, url));
        CHECK_FALSE(allows({"*", "localhost"}, url));
    }
    CHECK(allows({"127.0.0.1"}, "http://127.0.0.1:9000/"));
    CHECK(allows({"127.0.0.1"}, "http://2130706433/"));
    CHECK(allows({"127.0.0.1:9000"}, "http://127.0.0.1:9000/"));
    CHECK_FALSE(allows({"127.0.0.1:9000"}, "http://127.0.0.1:9001/"));
    CHECK(allows({"127.0.0.0/8"}, "http://[::ffff:127.0.0.1]/"));
    CHECK(allows({"10.0.0.0/8"}, "http://10.1.2.3/"));

    CHECK(allows({"::/0"}, "http://[fd00::1]/"));
    CHECK_FALSE(allows({"::/0"}, "http://127.0.0.1/"));
    CHECK_FALSE(allows({"::/0"}, "http://[::ffff:10.0.0.1]/"));
    CHECK_FALSE(allows({"::/0"}, "http://1.1.1.1/"));

    // Of a name, once it was looked up.
    CHECK(connects({"*"}, "http://a.test/", "1.1.1.1"));
    CHECK_FALSE(connects({"*"}, "http://a.test/", "127.0.0.1"));
    CHECK_FALSE(connects({"a.test"}, "http://a.test/", "10.0.0.1"));
    CHECK(connects({"a.test", "10.0.0.0/8"}, "http://a.test/", "10.0.0.1"));
    CHECK_FALSE(connects({"a.test", "10.0.0.0/8"}, "http://a.test/", "169.254.169.254"));
    CHECK_FALSE(connects({"a.test", "10.0.0.0/8:8443"}, "http://a.test/", "10.0.0.1"));
    CHECK_FALSE(connects({"10.0.0.0/8"}, "http://a.test/", "10.0.0.1"));
    CHECK_FALSE(connects({"*", "::/0"}, "http://a.test/", "10.0.0.1"));
    CHECK_FALSE(connects({"*", "::/0"}, "http://a.test/", "64:ff9b::10.0.0.1"));
    CHECK(connects({"*", "::/0"}, "http://a.test/", "fd00::1"));
    CHECK(connects({"localhost"}, "http://localhost:9/", "127.0.0.1"));
    CHECK(connects({"localhost"}, "http://localhost:9/", "::1"));
    CHECK_FALSE(connects({"localhost"}, "http://localhost:9/", "10.0.0.1"));
    CHECK_FALSE(connects({"localhost:8"}, "http://localhost:9/", "127.0.0.1"));
    CHECK_FALSE(connects({"*"}, "http://localhost:9/", "127.0.0.1"));
    CHECK_FALSE(connects({"localhost", "a.test"}, "http://a.test/", "127.0.0.1"));
}

TEST_CASE("a URL is taken apart as the connection will take it") {
    const Receiver receiver = parse_receiver("https://Hooks.Example.com/a/b?token=x").value();
    CHECK(receiver.host == "hooks.example.com");
    CHECK(receiver.port == 443);
    CHECK(receiver.origin == "https://hooks.example.com");
    CHECK(parse_receiver("http://[fd00::1]:8080/")->origin == "http://[fd00::1]:8080");
    CHECK(parse_receiver("http://a.test:80")->origin == "http://a.test");
    for (const std::string url : {"",
                                  "x",
                                  "//a.test/",
                                  "ftp://a.test/",
                                  "gopher://a.test/",
                                  "file:///x",
                                  "javascript:1",
                                  "http://",
                                  "http:///x",
                                  "http://u@a.test/",
                                  "http://u:p@a.test/",
                                  "http://@a.test/",
                                  "http://a.test@b.test/",
                                  "http://a.test:99999/",
                                  "http://a.test:0/",
                                  "http://a.test/ x",
                                  "http://a.test/\nx",
                                  "http://\xc3\xa4.test/",
                                  "http://[fe80::1%25eth0]/",
                                  "http://[::1/"}) {
        CAPTURE(url);
        CHECK_FALSE(parse_receiver(url));
    }
}
