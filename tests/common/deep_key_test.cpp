#include "common/deep_key.hpp"

#include "tests/support/catch.hpp"

#include <string>

using sema::line_of_deep_key;
using sema::most_key_parts;

namespace {

std::string key(std::size_t parts, const std::string& part = "a") {
    std::string text = part;
    for (std::size_t i = 1; i < parts; ++i)
        text += "." + part;
    return text;
}

}  // namespace

TEST_CASE("a key of too many parts is found wherever a key may stand") {
    const std::string deep = key(most_key_parts + 1);
    CHECK(line_of_deep_key(deep + " = 1") == 1U);
    CHECK(line_of_deep_key("# a\n[" + deep + "]\n") == 2U);
    CHECK(line_of_deep_key("\n\n[[" + deep + "]]") == 3U);
    CHECK(line_of_deep_key("a = '''\n\n'''\nb = { c = 1, " + deep + " = 1 }") == 4U);
    CHECK(line_of_deep_key(key(most_key_parts + 1, "\"a\"") + " = 1") == 1U);
    CHECK(line_of_deep_key(key(100'000, " 'a' ") + " = 1") == 1U);
    CHECK(line_of_deep_key("a = \"\"\"x\"\"\"\"\"\n" + deep + " = 1") == 2U);
    // A text that has no end does not hide what stands behind it.
    CHECK(line_of_deep_key("a = \"x\n" + deep + " = 1") == 2U);
    CHECK(line_of_deep_key("a = \"x\\\n" + deep + " = 1") == 2U);
}

TEST_CASE("dots that make no key deep are left alone") {
    const std::string deep = key(1000);
    CHECK_FALSE(line_of_deep_key(key(most_key_parts) + " = 1"));
    CHECK_FALSE(line_of_deep_key("a = '" + deep + "' # " + deep));
    CHECK_FALSE(line_of_deep_key("a = \"\\\"" + deep + "\""));
    CHECK_FALSE(line_of_deep_key("a = \"\"\"\n\"" + deep + "\\\"\"\"" + deep + "\"\"\""));
    std::string numbers = "a = [";
    for (int i = 0; i < 1000; ++i)
        numbers += "1.5, ";
    CHECK_FALSE(line_of_deep_key(numbers + "]"));
    CHECK_FALSE(line_of_deep_key(""));
}
