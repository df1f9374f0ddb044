#include "client/events.hpp"

#include "tests/support/catch.hpp"

#include <string>
#include <utility>
#include <vector>

using sema::EventParser;

namespace {

using Events = std::vector<std::pair<std::string, std::string>>;

Events all_of(EventParser& parser) {
    Events all;
    while (auto event = parser.next())
        all.emplace_back(event->name, event->data);
    return all;
}

// What a stream says that comes in pieces of this size.
Events read(const std::string& stream, std::size_t piece) {
    EventParser parser(1000);
    Events all;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
        REQUIRE(parser.feed(std::string_view(stream).substr(at, piece)));
        for (auto& event : all_of(parser))
            all.push_back(std::move(event));
    }
    return all;
}

}  // namespace

TEST_CASE("events are read wherever their bytes are cut") {
    const std::string stream =
        ":\n\nevent: state\ndata: {\"count\":1}\n\n: a heartbeat\n\nevent:state\r\ndata:one\r\ndata:  "
        "two\r\n\r\n"
        "data: unnamed\r\r"
        "event: deleted\nid: 7\nretry: 1\nwhat\ndata\n\nevent: without data\n\ndata: cut off\n";
    const Events expected = {
        {"state", "{\"count\":1}"}, {"state", "one\n two"}, {"message", "unnamed"}, {"deleted", ""}};
    for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
        CAPTURE(piece);
        CHECK(read(stream, piece) == expected);
    }
}

TEST_CASE("a byte order mark before the first event is read over") {
    CHECK(read("\xef\xbb\xbf"
               "data: x\n\n",
               2) == Events{{"message", "x"}});
}

TEST_CASE("a line of an event stream may be just as long as allowed") {
    const std::string line = "data: " + std::string(94, 'x');
    EventParser at(100);
    CHECK(at.feed(line + "\n\n"));
    CHECK(all_of(at).size() == 1);
    EventParser beyond(99);
    CHECK_FALSE(beyond.feed(line));
}

TEST_CASE("the lines of an event's data may be just as long as allowed together") {
    const std::string half = "data: " + std::string(49, 'x') + "\n";
    EventParser at(99);
    CHECK(at.feed(half + half + "\n"));
    EventParser beyond(98);
    CHECK_FALSE(beyond.feed(half + half));
}
