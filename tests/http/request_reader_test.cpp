#include "server/http/request_reader.hpp"

#include "tests/support/catch.hpp"

#include <algorithm>
#include <random>
#include <vector>

using namespace sema::http;
using std::string;
using std::string_view;

namespace {

// Everything a reader says of what it was fed, a line of text for each answer.
using Answers = std::vector<string>;

string describe(const Message& message) {
    return message.request_line + " [" + message.body + "]" +
           (message.keep_alive ? " keep-alive" : " close") + (message.http_1_0 ? " 1.0" : "") +
           (message.authorization.empty() ? "" : " by " + message.authorization);
}

string describe(const BadRequest& rejected) {
    return std::to_string(rejected.status) + " " + rejected.reason;
}

// Takes from the reader until it needs more or has refused. Whether it goes on.
bool drain(RequestReader& reader, Answers& answers) {
    while (true) {
        const auto next = reader.next();
        if (std::holds_alternative<NeedMore>(next)) return true;
        if (std::holds_alternative<Continue100>(next)) {
            answers.push_back("continue");
        } else if (const auto* message = std::get_if<Message>(&next)) {
            answers.push_back(describe(*message));
        } else {
            answers.push_back(describe(std::get<BadRequest>(next)));
            return false;
        }
    }
}

Answers read_parts(const std::vector<string_view>& parts, const Limits& limits = {}) {
    RequestReader reader(limits);
    Answers answers;
    for (const auto part : parts) {
        reader.feed(part);
        if (!drain(reader, answers)) break;
    }
    return answers;
}

Answers read(string_view bytes, const Limits& limits = {}) {
    return read_parts({bytes}, limits);
}

// As read(), a byte at a time; without the leave to continue, which only those get who are slow.
Answers dribble(string_view bytes, const Limits& limits = {}) {
    std::vector<string_view> parts;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        parts.push_back(bytes.substr(i, 1));
    }
    auto answers = read_parts(parts, limits);
    answers.erase(std::remove(answers.begin(), answers.end(), "continue"), answers.end());
    return answers;
}

// The status of the refusal, 200 for one whole message, 100 for a request that is not complete; -1 where
// it depends on how the bytes come, or there is more than one answer.
int status(string_view bytes, const Limits& limits = {}) {
    const auto answers = read(bytes, limits);
    if (answers.size() > 1 || dribble(bytes, limits) != answers) return -1;
    if (answers.empty()) return 100;
    return answers[0].front() >= '4' && answers[0].front() <= '5' ? std::stoi(answers[0]) : 200;
}

string reason(string_view bytes, const Limits& limits = {}) {
    const auto answers = read(bytes, limits);
    return answers.empty() ? "" : answers.back();
}

Message message_of(string_view bytes) {
    RequestReader reader{Limits{}};
    reader.feed(bytes);
    return std::get<Message>(reader.next());
}

// A GET with these field lines between its Host and the empty line.
string get_with(const string& field_lines) {
    return "GET / HTTP/1.1\r\nHost: a\r\n" + field_lines + "\r\n";
}

string get_1_0_with(const string& field_lines) {
    return "GET / HTTP/1.0\r\n" + field_lines + "\r\n";
}

string post_with(const string& field_lines, const string& body) {
    return "POST / HTTP/1.1\r\nHost: a\r\n" + field_lines + "\r\n" + body;
}

string chunked(const string& body) {
    return post_with("Transfer-Encoding: chunked\r\n", body);
}

string run_of(char c, std::size_t length) {
    return string(length, c);
}

}  // namespace

TEST_CASE("of a head, what it asks for is passed on, without a query") {
    const auto message = message_of("GET /l/x%20?y=%20?z HTTP/1.1\r\nHost: a:7717\r\nX-Thing:  b \r\n\r\n");
    CHECK(message.request_line == "GET /l/x%20 HTTP/1.1");
    CHECK(message.body.empty());
    CHECK(message.keep_alive);
    CHECK_FALSE(message.http_1_0);
    CHECK(message.method() == "GET");
    CHECK(message.target() == "/l/x%20");
}

TEST_CASE("a body is as long as Content-Length says") {
    const auto message = message_of(post_with("Content-Length: 5\r\nX: y\r\n", "hello"));
    CHECK(message.request_line == "POST / HTTP/1.1");
    CHECK(message.body == "hello");
}

TEST_CASE("a body may hold any bytes") {
    const string body("\0\r\n\r\nGET \xff", 10);
    CHECK(message_of(post_with("Content-Length: 10\r\n", body)).body == body);
}

TEST_CASE("a body of length 0 is empty") {
    CHECK(message_of(post_with("Content-Length: 0\r\n", "")).body.empty());
}

TEST_CASE("a chunked body is joined") {
    const auto message = message_of(post_with(
        "transfer-ENCODING: Chunked\r\nX: y\r\n",
        "5\r\nhello\r\n00A ;a=b;c=\"d\"\r\n\r\n wonderf\r\n2;\r\nul\r\n0;last\r\nSum: 1\r\nB:\r\n\r\n"));
    CHECK(message.body == "hello\r\n wonderful");
}

TEST_CASE("a request that is cut anywhere reads the same") {
    const std::vector<string> inputs = {
        "\r\n\r\n" + get_with("X: y\r\n"),
        post_with("Content-Length: 11\r\n", "{\"ttl\": 30}") + get_with("Connection: close\r\n"),
        chunked("5\r\nhello\r\na;x\r\n0123456789\r\n0\r\nT: u\r\n\r\n") + get_with(""),
        get_with("X: \r\r\n"),
        get_with("X: y\n"),
        get_with("X : y\r\n"),
        chunked("5\r\nhello!\r\n"),
        chunked("10001\r\n"),
        post_with("Content-Length: 65537\r\n", ""),
        get_with("") + post_with("Content-Length: 1\r\nContent-Length: 2\r\n", ""),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };
    for (const string_view input : inputs) {
        CAPTURE(input);
        const auto expected = read(input);
        REQUIRE_FALSE(expected.empty());
        for (std::size_t cut = 0; cut <= input.size(); ++cut) {
            CAPTURE(cut);
            CHECK(read_parts({input.substr(0, cut), input.substr(cut)}) == expected);
        }
        CHECK(dribble(input) == expected);
    }
}

TEST_CASE("no request is complete before its last byte") {
    for (const string& input : {get_with("X: y\r\n"), post_with("Content-Length: 3\r\n", "abc"),
                                chunked("3\r\nabc\r\n0\r\nT: u\r\n\r\n")}) {
        CAPTURE(input);
        for (std::size_t size = 0; size < input.size(); ++size) {
            CHECK(read(string_view(input).substr(0, size)).empty());
        }
        CHECK(read(input).size() == 1);
    }
}

TEST_CASE("requests sent back to back come out one after another") {
    string input;
    Answers expected;
    for (int i = 0; i < 200; ++i) {
        const auto body = std::to_string(i);
        const auto length = "Content-Length: " + std::to_string(body.size()) + "\r\n";
        input += post_with(length, body);
        input += "\r\n" + get_with("");
        expected.push_back("POST / HTTP/1.1 [" + body + "] keep-alive");
        expected.push_back("GET / HTTP/1.1 [] keep-alive");
    }
    CHECK(read(input) == expected);
    CHECK(dribble(input) == expected);
}

TEST_CASE("of the header fields the credentials are passed on, each request its own") {
    CHECK(message_of(get_with("authorization:  Bearer a=\t\r\n")).authorization == "Bearer a=");
    CHECK(message_of(get_with("Authorization:\r\n")).authorization.empty());
    CHECK(message_of(get_with("X-Authorization: Bearer a\r\n")).authorization.empty());
    // Of several, nobody can tell which one a proxy went by.
    CHECK(message_of(get_with("Authorization: Bearer a\r\nAUTHORIZATION: Bearer a\r\n")).authorization ==
          "Bearer a, Bearer a");
    const string with = get_with("Authorization: Bearer a\r\n");
    CHECK(read(with + get_with("") + with) == Answers{"GET / HTTP/1.1 [] keep-alive by Bearer a",
                                                      "GET / HTTP/1.1 [] keep-alive",
                                                      "GET / HTTP/1.1 [] keep-alive by Bearer a"});
    CHECK(status(with) == 200);
}

TEST_CASE("of the header fields the known tags are passed on, each request its own") {
    CHECK(message_of(get_with("if-none-match: \"a\", W/\"b\" \r\n")).known_tags == "\"a\", W/\"b\"");
    CHECK(message_of(get_with("If-None-Match: \"a\"\r\nIF-NONE-MATCH: \"b\"\r\n")).known_tags ==
          "\"a\", \"b\"");
    CHECK(message_of(get_with("If-Match: \"a\"\r\n")).known_tags.empty());
    RequestReader reader({});
    reader.feed(get_with("If-None-Match: \"a\"\r\n") + get_with(""));
    CHECK(std::get<Message>(reader.next()).known_tags == "\"a\"");
    CHECK(std::get<Message>(reader.next()).known_tags.empty());
}

TEST_CASE("what one request says does not stick to the next") {
    CHECK(read(post_with("Connection: close\r\nContent-Length: 1\r\nExpect: 100-continue\r\n", "a") +
               get_1_0_with("") + chunked("0\r\n\r\n") + post_with("Content-Length: 2\r\n", "bc") +
               "GET / HTTP/1.1\r\n\r\n") ==
          Answers{"POST / HTTP/1.1 [a] close", "GET / HTTP/1.0 [] close 1.0", "POST / HTTP/1.1 [] keep-alive",
                  "POST / HTTP/1.1 [bc] keep-alive", "400 Host is missing"});
}

TEST_CASE("after a refusal nothing is read any more") {
    RequestReader reader{Limits{}};
    reader.feed("G@T / HTTP/1.1\r\n");
    CHECK(std::get<BadRequest>(reader.next()).status == 400);
    reader.feed(get_with(""));
    CHECK(std::get<BadRequest>(reader.next()).reason == "method is not a token");
    CHECK(reader.buffered() == 0);
    CHECK_FALSE(reader.idle());
}

TEST_CASE("a reader is idle from the end of a request to the first byte of the next") {
    RequestReader reader{Limits{}};
    CHECK(reader.idle());
    CHECK(std::holds_alternative<NeedMore>(reader.next()));
    CHECK(reader.idle());
    reader.feed("\r\n");
    CHECK(std::holds_alternative<NeedMore>(reader.next()));
    CHECK(reader.idle());
    reader.feed("P");
    CHECK_FALSE(reader.idle());
    reader.feed(post_with("Content-Length: 3\r\n", "ab").substr(1));
    CHECK(std::holds_alternative<NeedMore>(reader.next()));
    CHECK_FALSE(reader.idle());
    reader.feed("cG");
    CHECK(std::holds_alternative<Message>(reader.next()));
    CHECK_FALSE(reader.idle());
    CHECK(reader.buffered() == 1);
    reader.feed(get_with("").substr(1));
    CHECK(std::holds_alternative<Message>(reader.next()));
    CHECK(reader.idle());
    CHECK(reader.buffered() == 0);
}

TEST_CASE("what is buffered is what came and was not taken") {
    RequestReader reader{Limits{}};
    reader.feed("POST / HTTP/1.1\r\nHost: a\r\nX: y");
    CHECK(reader.buffered() == 30);
    CHECK(std::holds_alternative<NeedMore>(reader.next()));
    CHECK(reader.buffered() == 15 + 4);  // of the head, what is passed on and what is not read
    reader.feed("\r\nContent-Length: 10\r\n\r\n12345");
    CHECK(std::holds_alternative<NeedMore>(reader.next()));
    CHECK(reader.buffered() == 15 + 5);
}

// One that looks at the whole line again for each byte takes hours for this.
TEST_CASE("a line that comes a byte at a time is looked through once") {
    Limits limits;
    limits.request_line = 1 << 20;
    RequestReader reader{limits};
    for (std::size_t i = 0; i < limits.request_line; ++i) {
        reader.feed("x");
        REQUIRE(std::holds_alternative<NeedMore>(reader.next()));
    }
    reader.feed("x");
    CHECK(std::get<BadRequest>(reader.next()).status == 414);
}

TEST_CASE("request lines of the right form are accepted") {
    for (const char* line :
         {"GET / HTTP/1.1", "GET /a/b%00 HTTP/1.1", "OPTIONS * HTTP/1.1", "M!#$%&'*+-.^_`|~9 / HTTP/1.1",
          "GET /~{}|\\^`\"<>[] HTTP/1.1", "G / HTTP/1.0"}) {
        CAPTURE(line);
        CHECK(read(line + string("\r\nHost: a\r\n\r\n")).at(0).find(line + string(" [")) == 0);
    }
}

TEST_CASE("request lines of another form are refused") {
    const auto line_status = [](const string& line) { return status(line + "\r\nHost: a\r\n\r\n"); };
    for (const char* line : {"GET",
                             "GET /",
                             "GET / ",
                             "GET  HTTP/1.1",
                             " / HTTP/1.1",
                             " GET / HTTP/1.1",
                             "GET  / HTTP/1.1",
                             "GET /  HTTP/1.1",
                             "GET / HTTP/1.1 ",
                             "GET /a b HTTP/1.1",
                             "GET\t/ HTTP/1.1",
                             "GET /\tHTTP/1.1",
                             "GET /\t HTTP/1.1",
                             "G@T / HTTP/1.1",
                             "GET: / HTTP/1.1",
                             "G\xc3\x89T / HTTP/1.1",
                             "GET /#a HTTP/1.1",
                             "GET /\xc3\xa9 HTTP/1.1",
                             "GET /\x7f HTTP/1.1",
                             "GET /\x01 HTTP/1.1",
                             "GET / http/1.1",
                             "GET / Http/1.1",
                             "GET / HTTP/1",
                             "GET / HTTP/1.",
                             "GET / HTTP/1.10",
                             "GET / HTTP/01.1",
                             "GET / HTTP/1,1",
                             "GET / HTTP/a.1",
                             "GET / HTTP/1.a",
                             "GET / HTTPS/1.1",
                             "GET / XTTP/1.1",
                             "GET / HTTP 1.1"}) {
        CAPTURE(line);
        CHECK(line_status(line) == 400);
    }
    CHECK(line_status(string("GET /\0 HTTP/1.1", 15)) == 400);
}

TEST_CASE("what is no HTTP at all is refused at its first control character") {
    CHECK(reason("\x16\x03\x01\x02") == "400 request has a control character in its head");
    CHECK(reason(string("GET / HTTP/1.1\r\nHost: \0", 23)) ==
          "400 request has a control character in its head");
}

TEST_CASE("every HTTP/1 version is spoken, and no other") {
    const auto version = [](const string& v) { return status("GET / HTTP/" + v + "\r\nHost: a\r\n\r\n"); };
    for (char minor = '0'; minor <= '9'; ++minor) {
        CHECK(version(string("1.") + minor) == 200);
    }
    for (const char* other : {"0.9", "0.0", "2.0", "2.1", "3.0", "9.9"}) {
        CHECK(version(other) == 505);
    }
    CHECK(reason("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == "505 only HTTP/1.0 and HTTP/1.1 are spoken here");
    CHECK(message_of("GET / HTTP/1.2\r\nHost: a\r\n\r\n").request_line == "GET / HTTP/1.1");
    CHECK(status("GET / HTTP/1.9\r\n\r\n") == 400);  // a Host is as due as in 1.1
}

TEST_CASE("a target is reduced to its path") {
    const auto target = [](const string& absolute) {
        return string(message_of("GET " + absolute + " HTTP/1.1\r\nHost: a\r\n\r\n").target());
    };
    CHECK(target("http://a:7717/l/x?y=z") == "/l/x");
    CHECK(target("/l/x?y=z?a") == "/l/x");
    CHECK(target("*") == "*");
    CHECK(target("HTTPS://a/") == "/");
    CHECK(target("http://a") == "/");
    CHECK(target("http://a?b=/c") == "/");
    CHECK(target("/http://a/b") == "/http://a/b");
    for (const char* no_host : {"http://", "http:///a", "https://?a"}) {
        CAPTURE(no_host);
        CHECK(status("GET " + string(no_host) + " HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
    }
}

TEST_CASE("empty lines before a request are ignored, but not without end") {
    string lines;
    for (int i = 0; i < 4; ++i) {
        lines += "\r\n";
    }
    Limits limits;
    limits.request_line = 8 + string("GET / HTTP/1.1").size();
    CHECK(status(lines + get_with(""), limits) == 200);
    CHECK(status("\r\n" + lines + get_with(""), limits) == 414);
    limits.request_line = 8;
    CHECK(status(lines, limits) == 100);
    CHECK(status(lines + "\r\n", limits) == 414);
    limits.request_line = 7;
    CHECK(status(lines, limits) == 414);
    CHECK(status("\n" + get_with("")) == 400);
}

TEST_CASE("a request line is at most 8192 bytes long, its line end included") {
    const auto line = [](std::size_t size) {
        return "GET /" + run_of('a', (size - string("GET / HTTP/1.1").size())) + " HTTP/1.1";
    };
    CHECK(status(line(8190) + "\r\nHost: a\r\n\r\n") == 200);
    CHECK(status(line(8191) + "\r\nHost: a\r\n\r\n") == 414);
    CHECK(reason(line(8191) + "\r\n") == "414 request line is longer than 8 KiB");
    // Known by the first byte too many, whether or not an end ever comes.
    CHECK(status(run_of('a', 8190)) == 100);
    CHECK(status(run_of('a', 8190) + "\r") == 100);
    CHECK(status(run_of('a', 8191)) == 414);
    CHECK(status(run_of('a', 8190) + "\n") == 400);
}

TEST_CASE("the header section is at most 8192 bytes long, its line ends included") {
    const auto request = [](std::size_t size) {
        return get_with("X: " + run_of('x', (size - string("Host: a\r\nX: \r\n").size())) + "\r\n");
    };
    CHECK(status(request(8192)) == 200);
    CHECK(status(request(8193)) == 431);
    CHECK(reason(request(8193)) == "431 request headers are larger than 8 KiB");
    string short_lines = "Host: abcd\r\n";
    while (short_lines.size() < 8192) {
        short_lines += "a:b\r\n";
    }
    REQUIRE(short_lines.size() == 8192);
    CHECK(status("GET / HTTP/1.1\r\n" + short_lines + "\r\n") == 200);
    CHECK(status("GET / HTTP/1.1\r\n" + short_lines + "a:b\r\n\r\n") == 431);
    CHECK(status("GET / HTTP/1.1\r\n" + short_lines + "a") == 431);
}

TEST_CASE("limits are what they are set to") {
    Limits limits;
    limits.headers = 9;
    limits.body = 3;
    CHECK(status(get_with(""), limits) == 200);
    CHECK(status(get_with("X:\r\n"), limits) == 431);
    CHECK(reason(get_with("X:\r\n"), limits) == "431 request headers are larger than 9 bytes");
    CHECK(status("GET / HTTP/1.0\r\nContent-Length:3\r\n\r\nabc", limits) == 431);
    limits.headers = 100;
    CHECK(status(post_with("Content-Length: 3\r\n", "abc"), limits) == 200);
    CHECK(reason(post_with("Content-Length: 4\r\n", ""), limits) ==
          "413 request body is larger than 3 bytes");
    limits.headers = 0;
    CHECK(status(get_1_0_with(""), limits) == 200);
    CHECK(status(get_1_0_with("a:\r\n"), limits) == 431);
}

TEST_CASE("header fields are a name, a colon and a value") {
    const auto field_status = [](const string& line) { return status(get_with(line + "\r\n")); };
    for (const char* line :
         {"X:", "X: ", "X:\t", "X:y", "x-Y_9!: \t z \t", "X: a\tb", "X: a:b", "X: \xc3\xa9\x80\xff"}) {
        CAPTURE(line);
        CHECK(field_status(line) == 200);
    }
    for (const char* line :
         {"X", ":", ": y", "X : y", "X\t: y", "X y: z", "X\xc3\xa9: y", "\"X\": y", "X(: y", "X/: y",
          "X: a\rb", "X: a\r", "\rX: a", "X: a\x01", "X: a\x1f", "X: a\x7f", "X: a\x0b"}) {
        CAPTURE(line);
        CHECK(field_status(line) == 400);
    }
    CHECK(field_status(string("X: \0", 4)) == 400);
    CHECK(field_status(string("X\0: a", 5)) == 400);
}

TEST_CASE("folded header fields are refused") {
    CHECK(status(get_with("X: y\r\n z\r\n")) == 400);
    CHECK(status(get_with("X: y\r\n\tz\r\n")) == 400);
    CHECK(status(get_with("X: y\r\n \r\n")) == 400);
    CHECK(status("GET / HTTP/1.1\r\n Host: a\r\n\r\n") == 400);
    CHECK(reason(get_with("X: y\r\n z\r\n")) == "400 a header field is folded over several lines");
}

TEST_CASE("lines end in CRLF and in nothing else") {
    CHECK(status("GET / HTTP/1.1\nHost: a\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\n\n") == 400);
    CHECK(status("GET / HTTP/1.1\rHost: a\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n") == 400);
}

TEST_CASE("HTTP/1.1 needs one Host, HTTP/1.0 at most one") {
    CHECK(status("GET / HTTP/1.1\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nhOST: a\r\n\r\n") == 200);
    CHECK(status(get_with("Host: a\r\n")) == 400);
    CHECK(status(get_with("host: b\r\n")) == 400);
    CHECK(status(get_1_0_with("")) == 200);
    CHECK(status(get_1_0_with("Host: a\r\n")) == 200);
    CHECK(status(get_1_0_with("Host: a\r\nHost: a\r\n")) == 400);
}

TEST_CASE("a Host holds what a host and port can hold") {
    const auto host = [](const string& value) {
        return status("GET / HTTP/1.1\r\nHost:" + value + "\r\n\r\n");
    };
    for (const char* good :
         {"", " a", "a", " sema.example:7717 ", " 127.0.0.1", " [::1]:80", " a_b-c~d", " %41"}) {
        CAPTURE(good);
        CHECK(host(good) == 200);
    }
    for (const char* bad :
         {" a b", " a/b", " a@b", " a\"b", " a\\b", " a?b", " a#b", " <a>", " a\tb", " \xc3\xa9"}) {
        CAPTURE(bad);
        CHECK(host(bad) == 400);
    }
}

TEST_CASE("a Content-Length is digits, and the same each time") {
    const auto length = [](const string& field_lines) { return status(post_with(field_lines, "abc")); };
    CHECK(length("Content-Length: 3\r\n") == 200);
    CHECK(length("Content-Length:3\r\n") == 200);
    CHECK(length("content-length: \t3 \r\n") == 200);
    CHECK(length("Content-Length: 03\r\n") == 200);
    CHECK(length("Content-Length: " + run_of('0', 60) + "3\r\n") == 200);
    CHECK(length("Content-Length: 3\r\nContent-Length: 3\r\n") == 200);
    CHECK(length("Content-Length: 3, 3 ,3\r\n") == 200);
    CHECK(length("Content-Length: 4\r\n") == 100);
    for (const char* bad : {"", " ", "+3", "-3", "-0", "3 3", "3;", "0x3", "3a", "a", "3.0", "3e0", "\"3\"",
                            "3,", ",3", "3,,3", "3,4", "3, a", "\xd9\xa3"}) {
        CAPTURE(bad);
        CHECK(length("Content-Length: " + string(bad) + "\r\n") == 400);
    }
    CHECK(length("Content-Length: 3\r\nContent-Length: 4\r\n") == 400);
    CHECK(length("Content-Length: 3\r\nX: y\r\ncontent-length: 2\r\n") == 400);
    CHECK(message_of(post_with("Content-Length: 3, 3\r\nX: y\r\nContent-Length: 03\r\n", "abc")).body ==
          "abc");
}

TEST_CASE("a body is at most 64 KiB long, which is known before it comes") {
    const string largest = run_of('b', 65536);
    CHECK(status(post_with("Content-Length: 65536\r\n", largest)) == 200);
    CHECK(reason(post_with("Content-Length: 65537\r\n", "")) == "413 request body is larger than 64 KiB");
    for (const string& length :
         {string("65537"), string("18446744073709551615"), string("18446744073709551616"),
          string("18446744073709551621"), run_of('9', 5000)}) {
        CAPTURE(length);
        CHECK(status(post_with("Content-Length: " + length + "\r\n", "")) == 413);
    }
}

TEST_CASE("a chunked body is at most 64 KiB long, which is known from a chunk's size") {
    const string largest = "10000\r\n" + run_of('b', 65536) + "\r\n";
    CHECK(status(chunked(largest + "0\r\n\r\n")) == 200);
    CHECK(status(chunked("10001\r\n")) == 413);
    CHECK(status(chunked(largest + "1\r\n")) == 413);
    CHECK(status(chunked("ffff\r\n" + run_of('b', 65535) + "\r\n1\r\nb\r\n0\r\n\r\n")) == 200);
    CHECK(status(chunked("ffff\r\n" + run_of('b', 65535) + "\r\n2\r\n")) == 413);
    CHECK(status(chunked("ffffffffffffffff\r\n")) == 413);
}

TEST_CASE("a body is framed by Content-Length or by Transfer-Encoding, not by both") {
    CHECK(status(post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")) == 400);
    CHECK(status(post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")) == 400);
    CHECK(status(post_with("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", "")) == 400);
    CHECK(status(post_with("Transfer-Encoding: chunked\r\nContent-Length: 99999\r\n", "")) == 400);
}

TEST_CASE("the one transfer coding is chunked, once and last") {
    const auto coding = [](const string& value) {
        return status(post_with("Transfer-Encoding:" + value + "\r\n", "0\r\n\r\n"));
    };
    CHECK(coding(" chunked") == 200);
    CHECK(coding("\tCHUNKED ") == 200);
    for (const char* other :
         {" gzip", " gzip, chunked", " identity", " xchunked", " chunkedx", " gzip;q=1"}) {
        CAPTURE(other);
        CHECK(coding(other) == 501);
    }
    for (const char* bad :
         {"", " ,", " chunked, chunked", " chunked, gzip", " chunked,", " ,chunked", " chunked;a=b",
          " chunked;", " \"chunked\"", " chun ked", " gzip, chunked, gzip"}) {
        CAPTURE(bad);
        CHECK(coding(bad) == 400);
    }
    CHECK(coding(" gzip\r\nTransfer-Encoding: chunked") == 501);
    CHECK(coding(" chunked\r\nTransfer-Encoding: chunked") == 400);
    CHECK(coding(" chunked\r\nTransfer-Encoding: identity") == 400);
    CHECK(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 400);
    CHECK(reason(post_with("Transfer-Encoding: gzip\r\n", "")) ==
          "501 Transfer-Encoding can only be chunked");
}

TEST_CASE("a chunk is a hexadecimal size, CRLF, as much data, and CRLF") {
    CHECK(status(chunked("0\r\n\r\n")) == 200);
    CHECK(status(chunked("a\r\n0123456789\r\n0\r\n\r\n")) == 200);
    CHECK(status(chunked("A\r\n0123456789\r\n0\r\n\r\n")) == 200);
    CHECK(status(chunked("0000000000000001\r\nb\r\n0000000000000000\r\n\r\n")) == 200);
    CHECK(status(chunked("0")) == 100);
    CHECK(status(chunked("0\r\n")) == 100);
    for (const char* bad : {"\r\n",
                            "g\r\n",
                            "0x1\r\n",
                            "+1\r\n",
                            "-1\r\n",
                            " 1\r\n",
                            "1 \r\n",
                            "1\t\r\n",
                            "1 1\r\n",
                            "1,\r\n",
                            "1\n",
                            "1\rb",
                            "00000000000000001\r\n",
                            "1\r\nbb\r\n",
                            "1\r\nb\n",
                            "1\r\nb\rb",
                            "1\r\n\r\n0\r\n",
                            "1\r\nb1\r\n",
                            "0\n\r\n",
                            "0\r\n\n",
                            "0\r\n\rX"}) {
        CAPTURE(bad);
        CHECK(status(chunked(bad)) == 400);
    }
    CHECK(reason(chunked("1\r\nbb")) == "400 a chunk's data does not end where its size says");
}

TEST_CASE("chunk extensions are ignored up to 8 KiB of them in a request") {
    CHECK(message_of(chunked("1;a\r\nb\r\n1 ; a = \"\xc3\xa9\t\"\r\nc\r\n0\t;;;\r\n\r\n")).body == "bc");
    CHECK(status(chunked("0;a\x01\r\n\r\n")) == 400);
    CHECK(status(chunked(string("0;\0\r\n\r\n", 7))) == 400);
    CHECK(status(chunked("0;a\n\r\n")) == 400);
    CHECK(status(chunked("0;a\rb\r\n\r\n")) == 400);
    CHECK(status(chunked("0;" + run_of('x', 8191) + "\r\n\r\n")) == 200);
    CHECK(status(chunked("0;" + run_of('x', 8192) + "\r\n\r\n")) == 413);
    CHECK(status(chunked("1;" + run_of('x', 4095) + "\r\nb\r\n0;" + run_of('x', 4095) + "\r\n\r\n")) == 200);
    CHECK(status(chunked("1;" + run_of('x', 4095) + "\r\nb\r\n0;" + run_of('x', 4096) + "\r\n\r\n")) == 413);
    CHECK(status(chunked("0;" + run_of('x', 9000))) == 413);
    CHECK(reason(chunked("0;" + run_of('x', 9000))) == "413 chunk extensions are larger than 8 KiB");
}

TEST_CASE("trailers are held to the rules of headers, and dropped") {
    CHECK(message_of(chunked("0\r\nX: y\r\nContent-Length: 7\r\n\r\n")).body.empty());
    for (const char* bad :
         {"X\r\n", "X : y\r\n", ": y\r\n", " X: y\r\n", "X: y\r\n z\r\n", "X: \x01\r\n", "X: y\n"}) {
        CAPTURE(bad);
        CHECK(status(chunked("0\r\n" + string(bad) + "\r\n")) == 400);
    }
    CHECK(status(chunked("0\r\nX:" + run_of('x', 8188) + "\r\n\r\n")) == 200);
    CHECK(status(chunked("0\r\nX:" + run_of('x', 8189) + "\r\n\r\n")) == 431);
    CHECK(reason(chunked("0\r\n" + run_of('x', 9000))) == "431 request trailers are larger than 8 KiB");
}

TEST_CASE("chunk extensions and trailers have a limit each") {
    const string extension = ";" + run_of('x', 8191);
    const string trailer = "X:" + run_of('x', 8188) + "\r\n";
    CHECK(status(chunked("0" + extension + "\r\n" + trailer + "\r\n")) == 200);
}

TEST_CASE("a compressed body is refused") {
    CHECK(status(post_with("Content-Encoding: identity\r\nContent-Length: 1\r\n", "a")) == 200);
    CHECK(status(post_with("Content-Encoding: Identity\r\n", "")) == 200);
    CHECK(status(post_with("Content-Encoding:\r\n", "")) == 200);
    for (const char* coding : {"gzip", "br", "deflate", "identity, gzip", "identityx"}) {
        CAPTURE(coding);
        CHECK(status(post_with("Content-Encoding: " + string(coding) + "\r\n", "")) == 415);
    }
    CHECK(reason(post_with("Content-Encoding: gzip\r\n", "")) ==
          "415 Content-Encoding is not supported: send the body uncompressed");
}

TEST_CASE("a client that asks for leave to send its body gets it once") {
    const string head = post_with("expect: 100-Continue\r\nContent-Length: 2\r\n", "");
    const string message = "POST / HTTP/1.1 [ab] keep-alive";
    CHECK(read_parts({head, "a", "b"}) == Answers{"continue", message});
    CHECK(read_parts({head + "a", "b"}) == Answers{"continue", message});
    CHECK(read_parts({head + "ab"}) == Answers{message});
    CHECK(read_parts({head.substr(0, head.size() - 1), "\nab"}) == Answers{message});
    CHECK(read_parts({head + "ab" + head, "a", "b"}) == Answers{message, "continue", message});

    const string chunked_head = post_with("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "");
    CHECK(read_parts({chunked_head, "2\r\n", "ab\r\n", "0\r\n", "\r\n"}) == Answers{"continue", message});
    CHECK(read_parts({chunked_head + "2\r\nab\r\n0\r\n\r\n"}) == Answers{message});
}

TEST_CASE("leave to send a body is not given where none is to come") {
    CHECK(read(get_with("Expect: 100-continue\r\n")) == Answers{"GET / HTTP/1.1 [] keep-alive"});
    CHECK(read(post_with("Expect: 100-continue\r\nContent-Length: 0\r\n", "")) ==
          Answers{"POST / HTTP/1.1 [] keep-alive"});
    CHECK(status(post_with("Expect: 100-continue\r\nContent-Length: 65537\r\n", "")) == 413);
    CHECK(status(post_with("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "x\r\n")) == 400);
    CHECK(read_parts({"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "a"}) ==
          Answers{"POST / HTTP/1.0 [a] close 1.0"});
}

TEST_CASE("other expectations are refused") {
    for (const char* value : {"", "100", "100-continue, x", "200-ok", "100-continue;a"}) {
        CAPTURE(value);
        CHECK(status(get_with("Expect: " + string(value) + "\r\n")) == 417);
    }
}

TEST_CASE("a connection persists as its version and its Connection options say") {
    CHECK(message_of(get_with("")).keep_alive);
    CHECK(message_of(get_with("Connection: keep-alive\r\n")).keep_alive);
    CHECK(message_of(get_with("Connection: closed, x-close\r\n")).keep_alive);
    CHECK(message_of(get_with("X: close\r\n")).keep_alive);
    CHECK_FALSE(message_of(get_with("Connection: close\r\n")).keep_alive);
    CHECK_FALSE(message_of(get_with("connection: TE , CLOSE\r\n")).keep_alive);
    CHECK_FALSE(message_of(get_with("Connection: keep-alive\r\nConnection: close\r\n")).keep_alive);
    CHECK_FALSE(message_of(get_1_0_with("")).keep_alive);
    CHECK_FALSE(message_of(get_1_0_with("Connection: x\r\n")).keep_alive);
    CHECK(message_of(get_1_0_with("Connection: x, Keep-Alive\r\n")).keep_alive);
    CHECK_FALSE(message_of(get_1_0_with("Connection: keep-alive, close\r\n")).keep_alive);
    CHECK(message_of(get_1_0_with("")).http_1_0);
}

TEST_CASE("no reason quotes the request") {
    for (const string& bad :
         {string("s3cret"), string("s3cret@ / HTTP/1.1"), string("GET s3cret# HTTP/1.1"),
          string("GET / s3cret"), get_with("s3cret\r\n"), get_with("Host: s3cret\r\n"),
          get_with("Expect: s3cret\r\n"), get_with("Content-Length: s3cret\r\n"),
          get_with("Transfer-Encoding: s3cret\r\n"), get_with("Content-Encoding: s3cret\r\n"),
          chunked("s3cret\r\n"), chunked("0\r\ns3cret\r\n")}) {
        CAPTURE(bad);
        const auto answer = reason(bad + "\r\n");
        CHECK(answer.substr(0, 1) >= "4");
        CHECK(answer.find("s3cret") == string::npos);
    }
}

TEST_CASE("garbage is never taken for a request") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t bound) {
        return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
    };
    for (int round = 0; round < 2000; ++round) {
        string garbage;
        for (std::size_t size = below(400); garbage.size() < size;) {
            garbage += static_cast<char>(below(256));
        }
        const auto answers = read(garbage);
        CHECK(dribble(garbage) == answers);
        for (const auto& answer : answers) {
            CHECK(answer.substr(0, 4) == "400 ");
        }
    }
}

TEST_CASE("a damaged request reads the same in whatever pieces it comes") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t bound) {
        return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
    };
    const string intact = "\r\n" + post_with("Content-Length: 3\r\nConnection: close\r\n", "abc") +
                          chunked("5;x\r\nhello\r\n0\r\nT: u\r\n\r\n") + get_with("");
    const string_view spice = " \t\r\n\0:,;0159aZ/#\x7f\xff";
    for (int round = 0; round < 2000; ++round) {
        string input = intact;
        for (std::size_t n = below(4); n < 4; ++n) {
            const auto at = below(input.size());
            switch (below(3)) {
                case 0:
                    input[at] = spice[below(spice.size())];
                    break;
                case 1:
                    input.insert(at, 1, spice[below(spice.size())]);
                    break;
                default:
                    input.erase(at, 1);
            }
        }
        CAPTURE(input);
        const auto whole = read(input);
        CHECK(dribble(input) == whole);
        std::vector<string_view> parts;
        for (string_view rest = input; !rest.empty(); rest.remove_prefix(parts.back().size())) {
            parts.push_back(rest.substr(0, 1 + below(20)));
        }
        CHECK(read_parts(parts) == whole);
    }
}
