#include "common/wrapped_text.hpp"

#include "tests/support/catch.hpp"

using sema::wrapped;

TEST_CASE("a text is wrapped at its spaces, and its words stay whole") {
    CHECK(wrapped("", 5) == "");
    CHECK(wrapped("one two", 7) == "one two");
    CHECK(wrapped("one two", 6) == "one\ntwo");
    CHECK(wrapped("one two three four", 9) == "one two\nthree\nfour");
    CHECK(wrapped("extraordinary it is", 5) == "extraordinary\nit is");
    CHECK(wrapped("it is extraordinary", 5) == "it is\nextraordinary");
}

TEST_CASE("what is in lines already stays so, and examples are not wrapped") {
    CHECK(wrapped("one\n\ntwo three", 5) == "one\n\ntwo\nthree");
    CHECK(wrapped("ends\n", 5) == "ends\n");
    CHECK(wrapped("as in\n  semactl run vsim", 5) == "as in\n  semactl run vsim");
}
