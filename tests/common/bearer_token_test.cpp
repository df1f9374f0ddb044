#include "common/bearer_token.hpp"

#include "tests/support/catch.hpp"

#include <string>

using namespace sema;

TEST_CASE("a bearer token is one word of the characters that the credentials may have") {
    for (const char* token : {"a", "0aZ-._~+/", "abc=", "abc==", "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01"})
        CHECK(is_bearer_token(token));
    for (const char* text : {"", "=", "a b", "a\n", "a=b", "a,b", "a:b", "\"a\"", "\xc3\xa9", "env:X"})
        CHECK_FALSE(is_bearer_token(text));
    CHECK(is_bearer_token(std::string(4096, 'x')));
    CHECK_FALSE(is_bearer_token(std::string(4097, 'x')));
    CHECK_FALSE(is_bearer_token(std::string("a\0b", 3)));
}

TEST_CASE("the token is what follows the scheme, in whatever case that is written") {
    for (const char* value : {"Bearer abc==", "bearer abc==", "BEARER abc==", "Bearer   abc=="}) {
        CAPTURE(value);
        CHECK(bearer_token(value) == "abc==");
    }
    for (const char* value : {"", "Bearer", "Bearer ", "Bearer=abc", "Bearerabc", "abc", "Basic YTpi",
                              "Bearer a b", "Bearer abc, Bearer abc", "Bearer\tabc", " Bearer abc"}) {
        CAPTURE(value);
        CHECK_FALSE(bearer_token(value));
    }
}
