#include "common/given_text.hpp"

#include "tests/support/catch.hpp"

#include <cstdlib>

using sema::environment_value;
using sema::first_value;
using sema::trimmed;

TEST_CASE("white space, line ends, a byte-order mark and quotes are no part of what somebody wrote") {
    for (const char* text : {"s3cret", " s3cret", "s3cret\n", "s3cret\r\n", "\n\t s3cret \v\f\n\n",
                             "\xEF\xBB\xBFs3cret\n", " \xEF\xBB\xBF s3cret", "\xC2\xA0s3cret\xC2\xA0",
                             "'s3cret'", "\"s3cret\"", " \"s3cret\"\r\n", "\xEF\xBB\xBF's3cret'"}) {
        CAPTURE(text);
        CHECK(trimmed(text) == "s3cret");
    }
}

TEST_CASE("what stands within is left as it is") {
    CHECK(trimmed("a b\nc") == "a b\nc");
    CHECK(trimmed("it's") == "it's");
    CHECK(trimmed("'a") == "'a");
    CHECK(trimmed("'") == "'");
    CHECK(trimmed("'a\"") == "'a\"");
    CHECK(trimmed("''a''") == "'a'");
    // Whoever quotes white space wants it.
    CHECK(trimmed("\" a \"") == " a ");
    CHECK(trimmed("\xC3\xA4") == "\xC3\xA4");
}

TEST_CASE("where nothing stands there is nothing") {
    for (const char* text : {"", " \t\r\n", "\xEF\xBB\xBF", "''", " \"\" \n"}) {
        CAPTURE(text);
        CHECK(trimmed(text).empty());
        CHECK(first_value(text).empty());
    }
}

TEST_CASE("a file's value is on the first line in which something stands") {
    CHECK(first_value("s3cret\nmore\n") == "s3cret");
    CHECK(first_value("\xEF\xBB\xBF\r\n  s3cret \r\nmore") == "s3cret");
    CHECK(first_value("'s3cret'\nmore'") == "s3cret");
}

TEST_CASE("a variable that is empty is told from one that is not set") {
    unsetenv("SEMA_TEST_VALUE");
    CHECK_FALSE(environment_value("SEMA_TEST_VALUE"));
    setenv("SEMA_TEST_VALUE", "", 1);
    CHECK(environment_value("SEMA_TEST_VALUE") == "");
    setenv("SEMA_TEST_VALUE", " \n", 1);
    CHECK(environment_value("SEMA_TEST_VALUE") == "");
    setenv("SEMA_TEST_VALUE", " 'a b'\n", 1);
    CHECK(environment_value("SEMA_TEST_VALUE") == "a b");
    unsetenv("SEMA_TEST_VALUE");
}
