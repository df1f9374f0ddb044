#include "server/http/request_reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

// Section numbers are those of RFC 9112 unless another is named.
namespace sema::http {
namespace {

// A 64-bit size in hex. A longer one could only be zeros in front of a size, or a size beyond any limit.
constexpr std::size_t longest_chunk_size = 16;

enum CharClass : unsigned char {
    control_char = 1,  // what no line may hold: all controls but HTAB
    token_char = 2,    // RFC 9110, section 5.6.2
    target_char = 4,   // visible ASCII but '#': a fragment is never sent (section 3.2)
    host_char = 8,     // RFC 3986, section 3.2.2, and ':' before the port
};

constexpr std::array<unsigned char, 256> char_classes = [] {
    std::array<unsigned char, 256> classes{};
    const auto add = [&](std::string_view chars, CharClass kind) {
        for (const char c : chars) {
            classes[static_cast<unsigned char>(c)] |= kind;
        }
    };
    for (std::size_t c = 0; c < 0x20; ++c) {
        classes[c] |= control_char;
    }
    classes['\t'] = 0;
    classes[0x7f] |= control_char;
    for (std::size_t c = 0x21; c < 0x7f; ++c) {
        classes[c] |= target_char;
    }
    classes['#'] = 0;
    for (const std::string_view alphanumeric :
         {"0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"}) {
        add(alphanumeric, token_char);
        add(alphanumeric, host_char);
    }
    add("!#$%&'*+-.^_`|~", token_char);
    add("-._~!$&'()*+,;=%:[]", host_char);
    return classes;
}();

bool is(char c, CharClass kind) {
    return (char_classes[static_cast<unsigned char>(c)] & kind) != 0;
}

bool all(std::string_view text, CharClass kind) {
    return std::all_of(text.begin(), text.end(), [&](char c) { return is(c, kind); });
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_blank(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

// Whether `text` is `lower_case` in whatever case.
bool same_word(std::string_view text, std::string_view lower_case) {
    return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(), [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
    });
}

// Calls `see` with each member of a comma-separated list, the empty ones included, until it says false.
// Whether it never did.
template <class See>
bool each_member(std::string_view list, See see) {
    while (true) {
        const auto comma = list.find(',');
        if (!see(trimmed(list.substr(0, comma)))) return false;
        if (comma == std::string_view::npos) return true;
        list.remove_prefix(comma + 1);
    }
}

std::string in_words(std::size_t bytes) {
    if (bytes >= 1024 && bytes % 1024 == 0) return std::to_string(bytes / 1024) + " KiB";
    return std::to_string(bytes) + " bytes";
}

// Of a field that may stand there more than once (RFC 9110, section 5.3). Whether it is well-formed is left
// to the caller that uses it.
void append_value(std::string& values, std::string_view value) {
    if (!values.empty()) values += ", ";
    values += value;
}

}  // namespace

std::string_view Message::method() const {
    return std::string_view(request_line).substr(0, request_line.find(' '));
}

std::string_view Message::target() const {
    const auto begin = request_line.find(' ') + 1;
    return std::string_view(request_line).substr(begin, request_line.find(' ', begin) - begin);
}

RequestReader::RequestReader(const Limits& limits) : limits_(limits) {
    begin_request();
}

void RequestReader::feed(std::string_view bytes) {
    if (state_ == State::rejected) return;
    drop_used();
    input_.append(bytes);
}

RequestReader::Next RequestReader::next() {
    while (state_ != State::complete && step()) {
    }
    drop_used();
    if (state_ == State::complete) return take_message();
    if (state_ == State::rejected) return rejected_;
    const bool in_body = state_ != State::request_line && state_ != State::header;
    if (in_body && std::exchange(facts_.awaits_continue, false)) return Continue100{};
    return NeedMore{};
}

bool RequestReader::idle() const {
    return state_ == State::request_line && used_ == input_.size();
}

std::size_t RequestReader::buffered() const {
    return input_.size() - used_ + request_line_.size() + body_.size() + authorization_.size() +
           query_.size() + known_tags_.size();
}

bool RequestReader::step() {
    switch (state_) {
        case State::request_line:
            return read_request_line();
        case State::header:
            return read_header_line();
        case State::sized_body:
            return read_sized_body();
        case State::chunk_size:
            return read_chunk_size();
        case State::chunk_data:
            return read_chunk_data();
        case State::chunk_end:
            return read_chunk_end();
        case State::trailer:
            return read_trailer_line();
        case State::complete:
        case State::rejected:
            break;
    }
    return false;
}

void RequestReader::begin_request() {
    state_ = State::request_line;
    allowance_ = limits_.request_line;
    facts_ = {};
}

// The next line without its CRLF, or nothing: it is not all there yet, or the request was rejected. The
// view holds until the next feed.
std::optional<std::string_view> RequestReader::take_line(std::size_t longest, Bound bound) {
    const std::string_view unread = std::string_view(input_).substr(used_);
    const std::size_t end = std::min(unread.size(), longest);
    std::size_t i = scanned_;
    while (i < end && !is(unread[i], control_char)) {
        ++i;
    }
    scanned_ = i;
    if (i == unread.size()) return std::nullopt;
    if (unread[i] == '\r') {
        if (i + 1 == unread.size()) return std::nullopt;
        if (unread[i + 1] == '\n') {
            used_ += i + 2;
            scanned_ = 0;
            return unread.substr(0, i);
        }
        reject(400, "request has a carriage return that does not end a line");
    } else if (unread[i] == '\n') {
        // Section 2.2 lets a recipient take it for a line end; two that differ in it can be played off
        // against each other.
        reject(400, "request has a line that does not end in CRLF");
    } else if (i == longest) {
        reject_excess(bound);
    } else {
        reject(400, "request has a control character in its head");
    }
    return std::nullopt;
}

bool RequestReader::read_request_line() {
    const auto line = take_line(allowance_, Bound::request_line);
    if (!line) return false;
    if (line->empty()) {  // section 2.2: at least one is to be ignored
        if (allowance_ < 2) return reject_excess(Bound::request_line);
        allowance_ -= 2;
        return true;
    }
    const auto first = line->find(' ');
    const auto last = line->rfind(' ');
    if (first == last) return reject(400, "request line is not METHOD TARGET HTTP/1.1");
    const std::string_view method = line->substr(0, first);
    const std::string_view target = line->substr(first + 1, last - first - 1);
    const std::string_view version = line->substr(last + 1);
    if (method.empty() || !all(method, token_char)) return reject(400, "method is not a token");
    if (target.empty() || !all(target, target_char)) {
        return reject(400, "request target is empty or has a character that must be percent-encoded");
    }
    // Section 2.3: upper case, one digit each.
    if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
        !is_digit(version[7])) {
        return reject(400, "HTTP version is malformed");
    }
    if (version[5] != '1') return reject(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    // RFC 9110, section 2.5: a higher minor version is read as the highest one known.
    facts_.http_1_0 = version[7] == '0';
    if (!keep_request_line(method, target)) return false;
    state_ = State::header;
    allowance_ = limits_.headers;
    return true;
}

// Section 3.2.2: the absolute form (`http://host/path`) must be accepted.
bool RequestReader::keep_request_line(std::string_view method, std::string_view target) {
    bool slash_is_missing = false;
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (!same_word(target.substr(0, scheme.size()), scheme)) continue;
        target.remove_prefix(scheme.size());
        const auto authority = std::min(target.find_first_of("/?"), target.size());
        if (authority == 0) return reject(400, "request target has no host");
        target.remove_prefix(authority);
        slash_is_missing = !target.starts_with('/');
        break;
    }
    if (const auto mark = target.find('?'); mark != target.npos) {
        query_.assign(target.substr(mark + 1));
        target = target.substr(0, mark);
    }
    request_line_.reserve(method.size() + target.size() + 11);
    request_line_.append(method).append(slash_is_missing ? " /" : " ").append(target);
    request_line_.append(facts_.http_1_0 ? " HTTP/1.0" : " HTTP/1.1");
    return true;
}

bool RequestReader::read_header_line() {
    const auto line = take_field_line(Bound::header);
    if (!line) return false;
    if (line->empty()) return end_head();
    const auto field = split_field(*line);
    return field && read_field(*field);
}

// A line of a header or trailer section, paid for from the section's allowance. The empty one that ends
// it is free.
std::optional<std::string_view> RequestReader::take_field_line(Bound bound) {
    const auto line = take_line(std::max<std::size_t>(allowance_, 2) - 2, bound);
    if (line && !line->empty()) allowance_ -= line->size() + 2;
    return line;
}

// Section 5. That the value holds no control character was seen when the line was found.
std::optional<RequestReader::Field> RequestReader::split_field(std::string_view line) {
    const auto end = std::find_if_not(line.begin(), line.end(), [](char c) { return is(c, token_char); });
    const auto length = static_cast<std::size_t>(end - line.begin());
    if (end != line.end() && *end == ':' && length > 0) {
        return Field{line.substr(0, length), trimmed(line.substr(length + 1))};
    }
    if (is_blank(line.front())) {
        reject(400, "a header field is folded over several lines");  // section 5.2
    } else if (end != line.end() && is_blank(*end)) {
        reject(400, "a header field has white space before its colon");  // section 5.1
    } else {
        reject(400, "a header field is not NAME: VALUE");
    }
    return std::nullopt;
}

// Notes what the field says of the framing.
bool RequestReader::read_field(const Field& field) {
    switch (field.name.size()) {
        case 4:
            if (same_word(field.name, "host")) return read_host(field.value);
            break;
        case 6:
            if (same_word(field.name, "expect")) return read_expect(field.value);
            break;
        case 10:
            if (same_word(field.name, "connection")) read_connection(field.value);
            break;
        case 13:
            if (same_word(field.name, "authorization")) append_value(authorization_, field.value);
            if (same_word(field.name, "if-none-match")) append_value(known_tags_, field.value);
            break;
        case 14:
            if (same_word(field.name, "content-length")) return read_content_length(field.value);
            break;
        case 16:
            if (same_word(field.name, "content-encoding")) return read_content_encoding(field.value);
            break;
        case 17:
            if (same_word(field.name, "transfer-encoding")) return read_transfer_encoding(field.value);
            break;
        default:
            break;
    }
    return true;
}

// Section 3.2: one Host, of the characters a host and port can have. It may be empty.
bool RequestReader::read_host(std::string_view value) {
    if (std::exchange(facts_.host, true)) return reject(400, "Host is given more than once");
    if (!all(value, host_char)) return reject(400, "Host has a character that no host name has");
    return true;
}

// RFC 9110, section 8.6: repetitions of one value are tolerable, in one line or in several.
bool RequestReader::read_content_length(std::string_view value) {
    return each_member(value, [&](std::string_view member) {
        std::uint64_t length = 0;
        const auto [rest, status] = std::from_chars(member.data(), member.data() + member.size(), length);
        if (status == std::errc::invalid_argument || rest != member.data() + member.size()) {
            return reject(400, "Content-Length is not a number");
        }
        if (status == std::errc::result_out_of_range) length = std::numeric_limits<std::uint64_t>::max();
        if (facts_.content_length.value_or(length) != length) {
            return reject(400, "Content-Length is given twice with different values");
        }
        facts_.content_length = length;
        return true;
    });
}

// Section 6.1 and 7: chunked is always the last coding, and applied once.
bool RequestReader::read_transfer_encoding(std::string_view value) {
    facts_.transfer_encoding = true;
    return each_member(value, [&](std::string_view coding) {
        if (facts_.chunked) return reject(400, "Transfer-Encoding has something after chunked");
        const std::string_view name = trimmed(coding.substr(0, coding.find(';')));
        if (name.empty() || !all(name, token_char)) return reject(400, "Transfer-Encoding is malformed");
        if (!same_word(name, "chunked")) {
            facts_.other_coding = true;
        } else if (coding != name) {
            return reject(400, "Transfer-Encoding gives chunked a parameter");  // section 7.1
        } else {
            facts_.chunked = true;
        }
        return true;
    });
}

bool RequestReader::read_content_encoding(std::string_view value) {
    return each_member(value, [&](std::string_view coding) {
        if (coding.empty() || same_word(coding, "identity")) return true;
        return reject(415, "Content-Encoding is not supported: send the body uncompressed");
    });
}

// RFC 9110, section 10.1.1: there is one expectation, and HTTP/1.0 does not have it.
bool RequestReader::read_expect(std::string_view value) {
    return each_member(value, [&](std::string_view expectation) {
        if (!same_word(expectation, "100-continue")) {
            return reject(417, "Expect can only be 100-continue");
        }
        facts_.awaits_continue = !facts_.http_1_0;
        return true;
    });
}

void RequestReader::read_connection(std::string_view value) {
    each_member(value, [&](std::string_view option) {
        if (same_word(option, "close")) facts_.close = true;
        if (same_word(option, "keep-alive")) facts_.keep_alive = true;
        return true;
    });
}

// Section 6.3: how long the body is. A request that says nothing of it has none.
bool RequestReader::end_head() {
    if (!facts_.host && !facts_.http_1_0) return reject(400, "Host is missing");
    if (facts_.transfer_encoding) {
        if (facts_.http_1_0) return reject(400, "HTTP/1.0 has no Transfer-Encoding");
        if (facts_.content_length) {
            return reject(400, "Content-Length and Transfer-Encoding exclude each other");
        }
        if (facts_.other_coding) return reject(501, "Transfer-Encoding can only be chunked");
        state_ = State::chunk_size;
        allowance_ = limits_.headers;
        return true;
    }
    const std::uint64_t length = facts_.content_length.value_or(0);
    if (length > limits_.body) return reject_large_body();
    remaining_ = static_cast<std::size_t>(length);
    state_ = remaining_ > 0 ? State::sized_body : State::complete;
    return true;
}

// As much of the rest as has arrived.
void RequestReader::move_to_body() {
    const std::size_t length = std::min(remaining_, input_.size() - used_);
    body_.append(input_, used_, length);
    used_ += length;
    remaining_ -= length;
}

bool RequestReader::read_sized_body() {
    move_to_body();
    if (remaining_ > 0) return false;
    state_ = State::complete;
    return true;
}

// Section 7.1: 1*HEXDIG, and extensions (7.1.1), which are there to be ignored but not to be endless.
bool RequestReader::read_chunk_size() {
    const auto line = take_line(longest_chunk_size + allowance_, Bound::chunk_extensions);
    if (!line) return false;
    std::uint64_t size = 0;
    const auto [rest, status] = std::from_chars(line->data(), line->data() + line->size(), size, 16);
    const auto digits = static_cast<std::size_t>(rest - line->data());
    if (digits == 0 || digits > longest_chunk_size || status != std::errc()) {
        return reject(400, "a chunk's size is not a hexadecimal number");
    }
    const std::string_view extensions = line->substr(digits);
    if (!extensions.empty() && !trimmed(extensions).starts_with(';')) {
        return reject(400, "a chunk's size is followed by something other than an extension");
    }
    if (extensions.size() > allowance_) return reject_excess(Bound::chunk_extensions);
    allowance_ -= extensions.size();
    if (size > limits_.body - body_.size()) return reject_large_body();
    remaining_ = static_cast<std::size_t>(size);
    state_ = State::chunk_data;
    if (remaining_ == 0) {
        state_ = State::trailer;
        allowance_ = limits_.headers;
    }
    return true;
}

bool RequestReader::read_chunk_data() {
    move_to_body();
    if (remaining_ > 0) return false;
    state_ = State::chunk_end;
    return true;
}

bool RequestReader::read_chunk_end() {
    if (!take_line(0, Bound::chunk_data)) return false;
    state_ = State::chunk_size;
    return true;
}

// Section 7.1.2: trailer fields mean nothing here; only their form is looked at.
bool RequestReader::read_trailer_line() {
    const auto line = take_field_line(Bound::trailer);
    if (!line) return false;
    if (line->empty()) {
        state_ = State::complete;
        return true;
    }
    return split_field(*line).has_value();
}

// Section 9.3: what persists.
Message RequestReader::take_message() {
    Message message{std::exchange(request_line_, {}),
                    std::exchange(body_, {}),
                    facts_.http_1_0,
                    !facts_.close && (!facts_.http_1_0 || facts_.keep_alive),
                    std::exchange(authorization_, {}),
                    std::exchange(query_, {}),
                    std::exchange(known_tags_, {})};
    begin_request();
    return message;
}

bool RequestReader::reject(int status, std::string reason) {
    rejected_ = BadRequest{status, std::move(reason), request_line_.starts_with("HEAD ")};
    state_ = State::rejected;
    for (std::string* buffer : {&input_, &request_line_, &body_, &authorization_, &query_, &known_tags_}) {
        std::string().swap(*buffer);
    }
    used_ = 0;
    return false;
}

bool RequestReader::reject_excess(Bound bound) {
    switch (bound) {
        case Bound::request_line:
            return reject(414, "request line is longer than " + in_words(limits_.request_line + 2));
        case Bound::header:
            return reject(431, "request headers are larger than " + in_words(limits_.headers));
        case Bound::trailer:
            return reject(431, "request trailers are larger than " + in_words(limits_.headers));
        case Bound::chunk_extensions:
            return reject(413, "chunk extensions are larger than " + in_words(limits_.headers));
        case Bound::chunk_data:
            break;
    }
    return reject(400, "a chunk's data does not end where its size says");
}

bool RequestReader::reject_large_body() {
    return reject(413, "request body is larger than " + in_words(limits_.body));
}

// Gives memory back. What is moved here is never more than what was read before it, so a byte is moved
// at most once on average, however many requests wait in the buffer.
void RequestReader::drop_used() {
    if (used_ == 0 || used_ < input_.size() - used_) return;
    // Not assigned: a string that is assigned a short one keeps the memory it has.
    input_.substr(used_).swap(input_);
    used_ = 0;
}

}  // namespace sema::http
