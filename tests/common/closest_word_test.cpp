#include "common/closest_word.hpp"

#include "tests/support/catch.hpp"

using sema::alternatives;
using sema::closest_word;

TEST_CASE("a mistyped word is known by what it is like") {
    const std::vector<std::string> words = {"run",     "borrow", "return", "register",
                                            "holders", "watch",  "wait"};
    const auto meant = [&](const char* text) { return closest_word(text, words); };
    CHECK(meant("retrun") == "return");
    CHECK(meant("borow") == "borrow");
    CHECK(meant("registre") == "register");
    CHECK(meant("watchh") == "watch");
    CHECK(meant("wiat") == "wait");
    CHECK(meant("RUN") == "run");
    CHECK(meant("rn") == "run");
    CHECK(meant("hold") == "holders");
}

TEST_CASE("a word that is like none is not taken for one") {
    const std::vector<std::string> words = {"run", "borrow", "return", "holders", "ping"};
    for (const char* text : {"", "x", "r", "ho", "status", "make", "borrowing-a-lot", "pool"})
        CHECK(closest_word(text, words).empty());
    CHECK(closest_word(std::string(100000, 'b'), words).empty());
    CHECK(closest_word("run", {}).empty());
}

TEST_CASE("words to choose from are listed as in a sentence") {
    CHECK(alternatives({"text"}) == "text");
    CHECK(alternatives({"text", "json"}) == "text or json");
    CHECK(alternatives({"bash", "zsh", "fish"}) == "bash, zsh or fish");
}
