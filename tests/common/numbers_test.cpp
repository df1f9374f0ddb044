#include "common/numbers.hpp"

#include "tests/support/catch.hpp"

#include <utility>

using sema::parse_number;
using sema::parse_signed;

TEST_CASE("a number within its range is read") {
    for (const auto& [text, number] : {std::pair{"0", 0}, {"255", 255}, {"7", 7}, {"007", 7}}) {
        CAPTURE(text);
        CHECK(parse_number(text, {0, 255}) == number);
        CHECK(parse_signed(text, {0, 255}) == number);
    }
    for (const auto& [text, number] : {std::pair{"+2", 2}, {"-2", -2}, {"-100", -100}, {"+100", 100}})
        CHECK(parse_signed(text, {-100, 100}) == number);
}

TEST_CASE("a number that is out of its range is told that") {
    for (const char* text : {"0", "-1", "256", "99999999999999999999", "-99999999999999999999"}) {
        CAPTURE(text);
        for (const auto& number : {parse_number(text, {1, 255}), parse_signed(text, {1, 255})}) {
            REQUIRE_FALSE(number);
            CHECK(number.error().message == std::string(text) + " is out of range (1 to 255)");
        }
    }
}

TEST_CASE("what is no number is told the range, too") {
    for (const char* text :
         {"", "+", "-", "+-2", "-+2", "--2", "++2", "2 ", " 2", "0x2", "2.0", "two", "1e3", "2x"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_number(text, {-9, 9}));
        const auto number = parse_signed(text, {-9, 9});
        REQUIRE_FALSE(number);
        CHECK(number.error().message == "'" + std::string(text) + "' is not a whole number (-9 to 9)");
    }
    CHECK(parse_number("+2", {0, 9}).error().message == "'+2' is not a number without a sign (0 to 9)");
}
