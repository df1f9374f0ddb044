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
    Rejected rejected;
    std::size_t continues = 0;
};

bool same(const Outcome& a, const Outcome& b) {
    const auto same_message = [](const Message& x, const Message& y) {
        return x.head == y.head && x.body == y.body && x.http_1_0 == y.http_1_0 &&
               x.keep_alive == y.keep_alive;
    };
    return a.rejected.status == b.rejected.status && a.rejected.reason == b.rejected.reason &&
           std::equal(a.messages.begin(), a.messages.end(), b.messages.begin(), b.messages.end(),
                      same_message);
}

std::size_t count(std::string_view text, std::string_view part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) {
        ++found;
    }
    return found;
}

// What the parser behind relies on, found without any of the reader's own means.
void hold_promises(const Message& message) {
    const std::string_view head = message.head;
    hold(head.ends_with("\r\n\r\n") && head.find("\r\n\r\n") == head.size() - 4, "a head ends once");
    hold(count(head, "\r") == count(head, "\r\n") && count(head, "\n") == count(head, "\r\n"),
         "no bare CR or LF");
    hold(std::none_of(
             head.begin(), head.end(),
             [](unsigned char c) { return (c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f; }),
         "no control character in a head");
    hold(head.find("\r\n ") == head.npos && head.find("\r\n\t") == head.npos, "no folded field");
    const std::string_view request_line = head.substr(0, head.find("\r\n"));
    hold(count(request_line, " ") == 2, "three words in a request line");
    hold(request_line.ends_with(message.http_1_0 ? " HTTP/1.0" : " HTTP/1.1"), "a known version");
    hold(message.method() == request_line.substr(0, request_line.find(' ')), "the method is the first word");
    hold(message.target() == request_line.substr(message.method().size() + 1,
                                                 request_line.size() - message.method().size() - 10),
         "the target is the second word");

    std::string lower(head);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    hold(count(lower, "\r\ntransfer-encoding:") == 0, "no Transfer-Encoding left");
    hold(count(lower, "\r\nexpect:") == 0, "no Expect left");
    hold(count(lower, "\r\nhost:") <= 1, "at most one Host");
    hold(message.http_1_0 || count(lower, "\r\nhost:") == 1, "a Host in HTTP/1.1");
    const auto lengths = count(lower, "\r\ncontent-length:");
    hold(lengths <= 1, "at most one Content-Length");
    hold(lengths == 1 || message.body.empty(), "no body without a Content-Length");
    hold(lengths == 0 ||
             head.ends_with("\r\nContent-Length: " + std::to_string(message.body.size()) + "\r\n\r\n"),
         "Content-Length is the size of the body");
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
                outcome.rejected = std::get<Rejected>(std::move(next));
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
// same; and reads each message again as it would be passed on, which must change nothing.
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
    for (const Message& message : whole.messages) {
        hold_promises(message);
        RequestReader again{Limits{}};
        again.feed(message.head);
        again.feed(message.body);
        const auto next = again.next();
        const auto* same_message = std::get_if<Message>(&next);
        hold(same_message && same_message->head == message.head && same_message->body == message.body,
             "a message passed on reads the same");
        hold(same_message->keep_alive == message.keep_alive && again.idle(), "and ends where it did");
    }
    return 0;
}
