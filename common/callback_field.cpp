#include "common/callback_field.hpp"

#include "common/fields.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <utility>

namespace sema::wire {
namespace {

using nlohmann::json;

constexpr std::size_t longest_url = 2048;
// All of it, as it is stored: a server may have to keep a hundred thousand.
constexpr std::size_t longest_callback = 16 * 1024;
constexpr std::size_t most_headers = 32;

// Those that say how the request is sent, and those that vouch for it.
constexpr std::array reserved_headers = {
    "connection", "content-length", "expect", "host",    "http2-settings",    "keep-alive",
    "te",         "trailer",        "via",    "upgrade", "transfer-encoding",
};
constexpr std::array reserved_prefixes = {"proxy-", "webhook-"};

std::string lower(std::string text) {
    for (char& c : text)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

bool is_token(std::string_view text) {
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [marks](char c) {
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return is_letter || (c >= '0' && c <= '9') || marks.find(c) != marks.npos;
    });
}

bool is_reserved(const std::string& name) {
    return std::find(reserved_headers.begin(), reserved_headers.end(), name) != reserved_headers.end() ||
           std::any_of(reserved_prefixes.begin(), reserved_prefixes.end(),
                       [&](const char* prefix) { return name.starts_with(prefix); });
}

bool has_control_character(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == '\x7f'; });
}

Expected<std::vector<std::pair<std::string, std::string>>> headers_field(const json& field) {
    if (!field.is_object()) return failure("callback.headers must be an object of strings");
    if (field.size() > most_headers)
        return failure("callback.headers must have at most " + std::to_string(most_headers) + " entries");
    std::vector<std::pair<std::string, std::string>> headers;
    for (const auto& [name, value] : field.items()) {
        if (!is_token(name))
            return failure("callback.headers has a name that is none: use letters, digits and hyphens");
        if (is_reserved(lower(name)))
            return failure("callback.headers must not have " + lower(name) + ": the server sets it");
        if (!value.is_string()) return failure("callback.headers must be an object of strings");
        auto text = value.get<std::string>();
        if (has_control_character(text))
            return failure(
                "callback.headers has a value with a line break or another control character: remove it");
        headers.emplace_back(name, std::move(text));
    }
    return headers;
}

}  // namespace

Expected<Callback> callback_field(const json& field) {
    if (!field.is_object()) return failure("callback must be an object with a url");
    Callback callback;
    const auto url = field.find("url");
    if (url == field.end()) return failure("callback.url is required");
    auto address = text_field(*url, "callback.url", longest_url);
    if (!address) return tl::unexpected(address.error());
    callback.url = std::move(*address);
    if (const auto headers = field.find("headers"); headers != field.end()) {
        auto read = headers_field(*headers);
        if (!read) return tl::unexpected(read.error());
        callback.headers = std::move(*read);
    }
    if (const auto body = field.find("body"); body != field.end()) callback.body = body->dump();
    if (const auto secret = field.find("secret"); secret != field.end()) {
        if (!secret->is_string() || secret->get_ref<const std::string&>().empty())
            return failure("callback.secret must be whsec_ and base64 of 24 to 64 bytes");
        callback.secret = secret->get<std::string>();
    }
    if (to_json(callback).size() > longest_callback)
        return failure("callback must take at most " + std::to_string(longest_callback) +
                       " bytes: leave out what the receiver can look up");
    return callback;
}

nlohmann::ordered_json to_value(const Callback& callback) {
    nlohmann::ordered_json value{{"url", callback.url}};
    for (const auto& [name, text] : callback.headers)
        value["headers"][name] = text;
    if (!callback.body.empty()) value["body"] = nlohmann::ordered_json::parse(callback.body);
    if (!callback.secret.empty()) value["secret"] = callback.secret;
    return value;
}

}  // namespace sema::wire
