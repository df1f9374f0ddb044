#include "cli/console.hpp"

#include "tests/support/catch.hpp"

using sema::presentable;
using sema::printable;

namespace {

const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

}  // namespace

TEST_CASE("a message shows no UUID, however it is written or mistyped") {
    CHECK(presentable("the variable " + id + " is not set") == "the variable <UUID> is not set");
    CHECK(presentable("http://host/l/" + id + "/borrow") == "http://host/l/<UUID>/borrow");
    CHECK(presentable("{9F1C2E7A5B3D4C8EA1F06D2B9C4E7A01}") == "{<UUID>}");
    CHECK(presentable("urn:uuid:" + id + ".") == "urn:uuid:<UUID>.");
    CHECK(presentable("--count = " + id + "," + id) == "--count = <UUID>,<UUID>");
    for (const std::string& mistyped : {id + "0", id.substr(1), id.substr(0, 20), "x" + id, id + "-",
                                        id.substr(0, 18) + "g" + id.substr(19), "vsim" + id})
        CHECK(presentable(mistyped) == "<UUID>");
}

TEST_CASE("a message keeps what is no UUID") {
    for (const char* text :
         {"vsim: position 0, after 3s", "/home/me/.config/semactl/config.toml:2: there is no setting 'x'",
          "http://build-server:7717 is not available", "a-decade-of-faded-release-candidates",
          "127.0.0.1:7717 at 1781337630", "", "\xc3\xa9t\xc3\xa9"})
        CHECK(presentable(text) == text);
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
