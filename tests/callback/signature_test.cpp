#include "server/callback/signature.hpp"

#include "tests/support/catch.hpp"

#include <string>

using namespace sema;
using namespace sema::callback;

namespace {

const std::string key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

bool is_secret(const std::string& text) {
    return parse_secret(text).has_value();
}

}  // namespace

TEST_CASE("a message is signed as Standard Webhooks 1.0 says") {
    // Made with Python's hmac, of the example in the specification.
    CHECK(sign(*parse_secret(key), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})") ==
          "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST_CASE("each of several keys makes a signature of its own, in their order") {
    const std::string other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const std::string one = sign(*parse_secret(key), "id", 1, "body");
    const std::string two = sign(*parse_secret(other), "id", 1, "body");
    CHECK(one != two);
    CHECK(sign(*parse_secret(key + " " + other), "id", 1, "body") == one + " " + two);
    CHECK(sign(*parse_secret(other + "  " + key), "id", 1, "body") == two + " " + one);
}

TEST_CASE("a key has 24 to 64 bytes, in base64 with its padding") {
    const auto of_size = [](std::size_t size) {
        static constexpr const char* ends[] = {"", "AA==", "AAA="};
        return "whsec_" + std::string(4 * (size / 3), 'A') + ends[size % 3];
    };
    CHECK(is_secret(of_size(24)));
    CHECK(is_secret(of_size(25)));
    CHECK(is_secret(of_size(64)));
    CHECK(parse_secret(of_size(64))->front().size() == 64);
    CHECK_FALSE(is_secret(of_size(23)));
    CHECK_FALSE(is_secret(of_size(65)));
    for (const std::string text :
         {"whsec_", "whsec", "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
          "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
          "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
          "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwA===", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_"}) {
        CAPTURE(text);
        CHECK_FALSE(is_secret(text));
    }
    CHECK(parse_secret("")->empty());
    // Whoever gives one wants a signature.
    CHECK_FALSE(is_secret("   "));
}

TEST_CASE("the id of a message is that of one grant, and shows nothing of the lease's") {
    const LeaseId lease = LeaseId::random();
    CHECK(message_id(lease, 7) == message_id(lease, 7));
    CHECK(message_id(lease, 7) != message_id(lease, 8));
    CHECK(message_id(lease, 7) != message_id(LeaseId::random(), 7));
    CHECK(message_id(lease, 7).find(lease.str().substr(0, 8)) == std::string::npos);
}
