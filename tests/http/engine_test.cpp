#include "server/http/engine.hpp"

#include "tests/support/catch.hpp"

#include <string>
#include <vector>

using sema::http::Engine;

namespace {

struct Line {
    std::string text;
    std::string method;
    std::string path;
};

std::string number_in_hex(int number) {
    const std::string digits = "0123456789abcdef";
    return {digits[static_cast<std::size_t>(number / 16 % 16)],
            digits[static_cast<std::size_t>(number % 16)]};
}

}  // namespace

TEST_CASE("a request line is understood alike each time it comes, whatever came between") {
    Engine engine;
    std::vector<Line> lines;
    // More than an engine remembers, and lines that are too long for that.
    for (int i = 0; i < 2000; ++i) {
        for (const std::string method : {"GET", "POST"}) {
            const std::string path = "/l/" + std::to_string(i) + std::string(i % 7 == 0 ? 200 : 0, 'x');
            lines.push_back({method + " " + path + " HTTP/1.1", method, path});
        }
    }
    for (int round = 0; round < 2; ++round) {
        for (const Line& line : lines) {
            for (int again = 0; again < 2; ++again) {
                const auto* target = engine.parse(line.text);
                REQUIRE(target != nullptr);
                CHECK(target->method == line.method);
                CHECK(target->path == line.path);
            }
        }
    }
}

TEST_CASE("a path is decoded, also when it comes again") {
    Engine engine;
    for (int again = 0; again < 2; ++again) {
        for (const int c : {0x20, 0x2f, 0x41, 0x7e}) {
            const auto* target = engine.parse("GET /a%" + number_in_hex(c) + "b HTTP/1.1");
            REQUIRE(target != nullptr);
            CHECK(target->path == std::string("/a") + static_cast<char>(c) + "b");
        }
    }
}

TEST_CASE("a request line that is refused is refused each time") {
    Engine engine;
    REQUIRE(engine.parse("GET /healthz HTTP/1.1") != nullptr);
    for (int again = 0; again < 2; ++again) {
        CHECK(engine.parse("") == nullptr);
        CHECK(engine.parse("BREW /healthz HTTP/1.1") == nullptr);
        CHECK(engine.parse("GET /healthz") == nullptr);
    }
    CHECK(engine.parse("GET /healthz HTTP/1.1") != nullptr);
}
