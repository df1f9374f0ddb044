#include "cli/console.hpp"

#include "tests/support/catch.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>

using sema::json_line;
using sema::presentable;
using sema::printable;
using namespace std::chrono_literals;

namespace {

const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

// A stderr that takes nothing.
class FullStderr {
  public:
    FullStderr() {
        REQUIRE(pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) == 0);
        const std::string text(4096, 'x');
        while (write(ends_[1], text.data(), text.size()) > 0) {
        }
        dup2(ends_[1], STDERR_FILENO);
    }
    ~FullStderr() {
        dup2(original_, STDERR_FILENO);
        for (const int fd : {original_, ends_[0], ends_[1]})
            close(fd);
    }
    FullStderr(const FullStderr&) = delete;
    FullStderr& operator=(const FullStderr&) = delete;

  private:
    const int original_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    std::array<int, 2> ends_{};
};

// What a console takes to end that has something to say.
sema::Duration time_to_end(std::optional<sema::Duration> left) {
    const sema::Moment begin = sema::BootClock::now();
    {
        sema::Console console(sema::Verbosity::normal, sema::Output::text);
        if (left) console.end_by(begin + *left);
        console.error("said");
    }
    return sema::BootClock::now() - begin;
}

}  // namespace

TEST_CASE("the last words wait half a second for a stderr that is not read, and less where the time is up",
          "[alone]") {
    const FullStderr stderr_is_full;
    CHECK(time_to_end(std::nullopt) >= 500ms);
    CHECK(time_to_end(10s) >= 500ms);
    const sema::Duration least = time_to_end(-10s);
    CHECK(least >= 100ms);
    CHECK(least < 450ms);
}

TEST_CASE("a message shows no UUID, however it is written or mistyped") {
    CHECK(presentable("the variable " + id + " is not set") == "the variable <UUID> is not set");
    CHECK(presentable("http://host/l/" + id + "/borrow") == "http://host/l/<UUID>/borrow");
    CHECK(presentable("{9F1C2E7A5B3D4C8EA1F06D2B9C4E7A01}") == "{<UUID>}");
    CHECK(presentable("urn:uuid:" + id + ".") == "urn:uuid:<UUID>.");
    CHECK(presentable("--count = " + id + "," + id) == "--count = <UUID>,<UUID>");
    for (const std::string& mistyped :
         {id + "0", id.substr(1), id.substr(0, 20), "x" + id, id + "-",
          id.substr(0, 18) + "g" + id.substr(19), "vsim" + id, std::string(32, '7')})
        CHECK(presentable(mistyped) == "<UUID>");
}

TEST_CASE("a message keeps what is no UUID") {
    for (const char* text :
         {"vsim: position 0, after 3s", "/home/me/.config/semactl/config.toml:2: there is no setting 'x'",
          "http://build-server:7717 is not available", "a-decade-of-faded-release-candidates",
          "127.0.0.1:7717 at 1781337630", "-1 is out of range (0 to 18446744073709551615)",
          "-1234567890123456789", "", "\xc3\xa9t\xc3\xa9"})
        CHECK(presentable(text) == text);
}

TEST_CASE("a message keeps what looks like a UUID and is known to be none of a pool or lease") {
    const auto is_shown = [](std::string_view word) { return word == id; };
    CHECK(presentable("no task " + id + ".", is_shown) == "no task " + id + ".");
    CHECK(presentable("no task " + id + "0", is_shown) == "no task <UUID>");
}

TEST_CASE("a message shows no control characters") {
    CHECK(presentable("a\x1b[2Jb\nc\x7f") == "a [2Jb c ");
    CHECK(presentable("a\xc2\x9b"
                      "2Jb") == "a 2Jb");
    CHECK(presentable("\xc2\xb5s \xc2") == "\xc2\xb5s \xc2");
}

TEST_CASE("a result for people shows no control characters, and all else of it") {
    CHECK(printable("a\x1b[2Jb\nc\x7f " + id) == "a [2Jb c  " + id);
    CHECK(printable("\xe2\x80\xae"
                    "a\xe2\x80\x8f"
                    "b\xe2\x81\xa6"
                    "c\xe2\x80\xa9") == " a b c ");
    CHECK(printable("\xe2\x80\xa6 \xe2\x82\xac \xe2\x80\x94 \xe2") ==
          "\xe2\x80\xa6 \xe2\x82\xac \xe2\x80\x94 \xe2");
}

TEST_CASE("a line of JSON moves no terminal, and says the same") {
    CHECK(json_line("{\"a\":\"\xc2\x80 \xc2\x9b"
                    "2J \xc2\x9f\"}") == "{\"a\":\"\\u0080 \\u009b2J \\u009f\"}\n");
    const std::string plain = "{\"a\":\"\xc2\xa0 \xc3\x9b \xe2\x80\x9b \\u001b \"}";
    CHECK(json_line(plain) == plain + "\n");
    CHECK(json_line("\xc2") == "\xc2\n");
}
