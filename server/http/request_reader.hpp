#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace sema::http {

/// How large the parts of a request may be, in bytes.
struct Limits {
    /// The request line without its CRLF. Empty lines sent before it count towards it. With the CRLF the
    /// default is 8 KiB, which is all that the parser behind takes.
    std::size_t request_line = 8190;
    /// All field lines with their CRLFs, without the empty line that ends them. The trailer section of a
    /// chunked body and all its chunk extensions together may each be as large again.
    std::size_t headers = 8192;
    /// The body, its chunks joined.
    std::size_t body = 65536;
};

/// One whole request. Of its header fields only those are left that a call asks for: what the others say of
/// the request's end and of the connection is dealt with by the reader.
struct Message {
    /// `METHOD TARGET HTTP/1.x` without its CRLF. The target is reduced to its path. HTTP/1.2 to 1.9 became
    /// HTTP/1.1.
    std::string request_line;
    /// Empty where the request has none.
    std::string body;
    bool http_1_0 = false;
    /// Whether the connection may serve another request after this one.
    bool keep_alive = true;
    /// The value of its Authorization field; of several, all with commas between (RFC 9110, section 5.3).
    std::string authorization{};
    /// What stands behind the path's question mark, as it came.
    std::string query{};
    /// The value of its If-None-Match field; of several, all with commas between.
    std::string known_tags{};

    /// Views into `request_line`.
    std::string_view method() const;
    std::string_view target() const;
};

/// Why a request is refused, for the answer: its status (400, 413, 414, 415, 417, 431, 501 or 505), and a
/// reason in words that never quote the request. Where the next request would begin is unknown from here
/// on, so the connection closes after the answer.
struct BadRequest {
    int status = 0;
    std::string reason;
    /// It was a HEAD (RFC 9110, section 9.3.2).
    bool answer_without_body = false;
};

/// No whole request is there yet: feed more.
struct NeedMore {};

/// The client waits for leave to send the body (`Expect: 100-continue`): give it, then feed more.
struct Continue100 {};

/// Cuts the bytes of a connection into HTTP/1.x requests, and refuses whatever RFC 9112 lets a server
/// refuse: what one program takes for the end of a request and another does not is how requests are
/// smuggled past a proxy. What it says depends on the bytes alone, never on how they were cut into feeds,
/// except that a client whose body is already there gets no Continue100.
///
/// Bytes are looked at once, however few come at a time. Between requests no heap memory is held; within
/// one, about twice what the limits allow at most, and whatever was fed behind it. Not for use by more than
/// one thread at a time.
class RequestReader {
  public:
    using Next = std::variant<NeedMore, Continue100, Message, BadRequest>;

    explicit RequestReader(const Limits& limits);

    /// Takes in bytes as they came. They are kept until next() comes to them, so a caller bounds what it
    /// feeds before it takes the messages out (see buffered()). Dropped after a BadRequest.
    void feed(std::string_view bytes);

    /// What comes next. After a Message, call again for what was sent right behind it. Continue100 comes at
    /// most once a request. A BadRequest is final: it is what every later call answers.
    Next next();

    /// Nothing of a next request has arrived (stray empty lines aside), and none was rejected.
    bool idle() const;

    /// How many bytes are held: the request so far, and what was fed behind it.
    std::size_t buffered() const;

  private:
    enum class State {
        request_line,
        header,
        sized_body,
        chunk_size,
        chunk_data,
        chunk_end,
        trailer,
        complete,
        rejected,
    };

    // What a line is too long for.
    enum class Bound { request_line, header, chunk_extensions, chunk_data, trailer };

    struct Field {
        std::string_view name;
        std::string_view value;
    };

    // What the head says of the request, as far as it was read.
    struct Facts {
        std::optional<std::uint64_t> content_length;
        bool http_1_0 = false;
        bool host = false;
        bool close = false;
        bool keep_alive = false;
        bool transfer_encoding = false;
        bool chunked = false;
        bool other_coding = false;
        bool awaits_continue = false;
    };

    // Each step reads on in one state. True: it came to the end of it, and state_ says what is next.
    // False: more bytes are needed, or the request was rejected.
    bool step();
    bool read_request_line();
    bool read_header_line();
    bool read_sized_body();
    bool read_chunk_size();
    bool read_chunk_data();
    bool read_chunk_end();
    bool read_trailer_line();

    bool end_head();
    bool keep_request_line(std::string_view method, std::string_view target);
    bool read_field(const Field& field);
    bool read_host(std::string_view value);
    bool read_content_length(std::string_view value);
    bool read_transfer_encoding(std::string_view value);
    bool read_content_encoding(std::string_view value);
    bool read_expect(std::string_view value);
    void read_connection(std::string_view value);

    std::optional<std::string_view> take_line(std::size_t longest, Bound bound);
    std::optional<std::string_view> take_field_line(Bound bound);
    std::optional<Field> split_field(std::string_view line);
    void move_to_body();
    Message take_message();
    bool reject(int status, std::string reason);
    bool reject_excess(Bound bound);
    bool reject_large_body();
    void begin_request();
    void drop_used();

    Limits limits_;
    State state_ = State::request_line;
    // The bytes fed. The first used_ are done with; in the scanned_ after them no line ends.
    std::string input_;
    std::size_t used_ = 0;
    std::size_t scanned_ = 0;
    // What the section being read may still take: see Limits.
    std::size_t allowance_ = 0;
    // What of the body, or of the chunk, is still to come.
    std::size_t remaining_ = 0;
    Facts facts_;
    std::string request_line_;
    std::string body_;
    std::string authorization_;
    std::string query_;
    std::string known_tags_;
    BadRequest rejected_;
};

}  // namespace sema::http
