#include "cli/commands/callback_request.hpp"

#include "cli/arguments.hpp"
#include "cli/secret_ref.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace sema {
namespace {

Expected<std::string> given(const std::string& text) {
    if (!is_secret_ref(text)) return text;
    return fetch_secret(text);
}

// `NAME: VALUE`
Expected<std::pair<std::string, std::string>> header_of(const std::string& text) {
    const auto colon = text.find(':');
    if (colon == 0 || colon == text.npos)
        return failure("--callback-header takes 'NAME: VALUE', where VALUE may be env:NAME or file:PATH");
    const auto value = text.find_first_not_of(" \t", colon + 1);
    return given(value == text.npos ? "" : text.substr(value)).map([&](std::string it) {
        return std::pair(text.substr(0, colon), std::move(it));
    });
}

// The receiver's host, as a pattern of semad's; empty where the URL is none.
std::string host_of(const std::string& url) {
    const auto scheme = url.find("://");
    if (scheme == url.npos) return "";
    const auto begin = scheme + 3;
    const std::string authority =
        url.substr(begin, std::min(url.find_first_of("/?#", begin), url.size()) - begin);
    const auto bracket = authority.find(']');
    return bracket == authority.npos ? authority.substr(0, authority.find(':'))
                                     : authority.substr(0, bracket + 1);
}

}  // namespace

void add_callback_options(CLI::App& app, CallbackOptions& options) {
    add_text(
        app, "--callback", options.url, "URL",
        "Do not wait here: have the server POST the lease to this URL once there is a slot (a URL, env:NAME "
        "or file:PATH)");
    add_texts(
        app, "--callback-header", options.headers, "HEADER",
        "A header of that request, as 'NAME: VALUE'; VALUE may be env:NAME or file:PATH. Once for each");
    add_text(app, "--callback-body", options.body, "JSON",
             "JSON that the request's body has as its `body`, beside the lease");
    add_text(app, "--callback-secret", options.secret, "SECRET",
             "What the request is signed with, whsec_ and base64: env:NAME or file:PATH");
}

Expected<wire::Callback> callback_of(const CallbackOptions& options) {
    wire::Callback callback;
    auto url = given(options.url);
    if (!url) return tl::unexpected(Error{"--callback: " + url.error().message});
    callback.url = *std::move(url);
    for (const std::string& text : options.headers) {
        auto header = header_of(text);
        if (!header) return tl::unexpected(header.error());
        callback.headers.push_back(*std::move(header));
    }
    if (!options.body.empty() && !nlohmann::json::accept(options.body))
        return failure("--callback-body takes JSON, as '{\"job\": 812}'");
    callback.body = options.body;
    if (options.secret.empty()) return callback;
    if (!is_secret_ref(options.secret))
        return failure(
            "--callback-secret takes env:NAME or file:PATH: a secret on a command line can be read by every "
            "user "
            "of the machine");
    auto secret = fetch_secret(options.secret);
    if (!secret) return tl::unexpected(Error{"--callback-secret: " + secret.error().message});
    callback.secret = *std::move(secret);
    return callback;
}

std::string misplaced_option(const CallbackOptions& options) {
    if (!options.headers.empty()) return "--callback-header";
    if (!options.body.empty()) return "--callback-body";
    return options.secret.empty() ? "" : "--callback-secret";
}

std::string callback_advice(const wire::Callback& callback, const std::string& reason) {
    const auto says = [&](const char* text) { return reason.find(text) != reason.npos; };
    const bool is_off = says("callback is not allowed on this server");
    if (!is_off && !says("this server may not call")) return "";
    const std::string host = host_of(callback.url);
    return "semad --callback-allow '" + host + "', or allow = [\"" + host +
           "\"] under [callbacks] in its configuration" +
           (is_off ? ", allows it; without --callback, --wait waits here" : "");
}

}  // namespace sema
