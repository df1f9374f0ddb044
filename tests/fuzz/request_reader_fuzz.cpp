#include "server/http/request_reader.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

using namespace sema::http;

namespace {

// Small enough for the fuzzer to reach them all.
constexpr Limits limits{48, 96, 64};

void hold(bool fact, const char* meaning) {
    if (fact) return;
    std::fprintf(stderr, "broken: %s\n", meaning);
    std::abort();
}

struct Outcome {
    std::vector<Message> messages;
    BadRequest rejected;
    std::size_t continues = 0;
};

bool same(const Outcome& a, const Outcome& b) {
    const auto same_message = [](const Message& x, const Message& y) {
        return x.request_line == y.request_line && x.body == y.body && x.http_1_0 == y.http_1_0 &&
               x.keep_alive == y.keep_alive;
    };
    return a.rejected.status == b.rejected.status && a.rejected.reason == b.rejected.reason &&
           std::equal(a.messages.begin(), a.messages.end(), b.messages.begin(), b.messages.end(),
                      same_message);
}

// What the parser behind relies on, found without any of the reader's own means.
void hold_promises(const Message& message) {
    const std::string_view line = message.request_line;
    hold(std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }),
         "no control character in a request line");
    hold(std::count(line.begin(), line.end(), ' ') == 2, "three words in a request line");
    hold(line.find('?') == line.npos, "no query in a request line");
    hold(line.ends_with(message.http_1_0 ? " HTTP/1.0" : " HTTP/1.1"), "a known version");
    hold(message.method() == line.substr(0, line.find(' ')), "the method is the first word");
    hold(message.target() ==
             line.substr(message.method().size() + 1, line.size() - message.method().size() - 10),
         "the target is the second word");
    hold(message.body.size() <= limits.body, "a body within its limit");
}

Outcome read(const std::vector<std::string_view>& parts) {
    RequestReader reader(limits);
    Outcome outcome;
    for (const auto part : parts) {
        reader.feed(part);
        while (true) {
            auto next = reader.next();
            if (std::holds_alternative<NeedMore>(next)) break;
            if (std::holds_alternative<Continue100>(next)) {
                ++outcome.continues;
            } else if (auto* message = std::get_if<Message>(&next)) {
                outcome.messages.push_back(std::move(*message));
            } else {
                outcome.rejected = std::get<BadRequest>(std::move(next));
                return outcome;
            }
        }
        // Of what was read and is not taken, only a part of one request is left.
        hold(reader.buffered() <= limits.request_line + 2 * (limits.headers + 32) + limits.body,
             "memory is bounded");
    }
    return outcome;
}

}  // namespace

// Reads the input in one piece, in single bytes and in pieces of varying size, which must come out the
// same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string input(data, data + size);
    const std::string_view view = input;

    const Outcome whole = read({view});
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < view.size(); ++i) {
        bytes.push_back(view.substr(i, 1));
    }
    const Outcome dribbled = read(bytes);
    std::vector<std::string_view> pieces;
    for (std::string_view rest = view; !rest.empty();) {
        const std::size_t length = 1 + static_cast<unsigned char>(rest.front()) % 31;
        pieces.push_back(rest.substr(0, length));
        rest.remove_prefix(std::min(length, rest.size()));
    }
    const Outcome pieced = read(pieces);

    hold(same(whole, dribbled), "bytes read like the whole");
    hold(same(whole, pieced), "pieces read like the whole");
    hold(dribbled.continues <= dribbled.messages.size() + 1, "one Continue100 a request");
    if (whole.rejected.status != 0) {
        constexpr std::array statuses = {400, 413, 414, 415, 417, 431, 501, 505};
        hold(std::count(statuses.begin(), statuses.end(), whole.rejected.status) == 1, "a known status");
    }
    for (const Message& message : whole.messages)
        hold_promises(message);
    return 0;
}
