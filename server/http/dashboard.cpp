#include "server/http/dashboard.hpp"

#include "server/dashboard/assets.hpp"

#include <algorithm>
#include <string>

namespace sema::http {
namespace {

constexpr std::string_view root = "/dashboard/";

// What the page does not need is forbidden to it: a text that somebody smuggled into it runs nothing, loads
// nothing and sends nothing anywhere. A browser asks each time whether a file has changed, since a server of
// another version has other ones.
constexpr const char* file_headers =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Cache-Control: no-cache\r\n";

// RFC 9110, section 13.1.2: a list of tags, each perhaps with W/ before it, or a star.
bool is_known(std::string_view tags, std::string_view tag) {
    return tags == "*" || tags.find(tag) != tags.npos;
}

Response file_response(const Asset& asset, const Request& request) {
    Response response{.status = is_known(request.known_tags, asset.tag) ? 304 : 200,
                      .headers = std::string(file_headers) + "ETag: " + std::string(asset.tag) + "\r\n",
                      // The content is there for as long as the program.
                      .long_body = {std::shared_ptr<void>(), &asset.content},
                      .content_type = asset.content_type};
    return response;
}

// With a path relative to the one that was asked for, since a proxy may have put another one before both.
Response redirection(const std::string& to) {
    Response response = error_response(302, "the dashboard is at " + std::string(root));
    response.headers = "Location: " + to + "\r\n";
    return response;
}

Response response_to(const Request& request) {
    if (request.path == "/" || request.path == "/dashboard") return redirection("dashboard/");
    std::string_view name = request.path.substr(root.size());
    if (name.empty()) name = "index.html";
    const auto assets = dashboard_assets();
    const auto asset =
        std::find_if(assets.begin(), assets.end(), [&](const Asset& each) { return each.name == name; });
    return asset == assets.end() ? error_response(404, "no such path") : file_response(*asset, request);
}

}  // namespace

bool is_of_dashboard(std::string_view path) {
    return path == "/" || path == "/dashboard" || path.starts_with(root);
}

Response dashboard_response(const Request& request) {
    Response response = response_to(request);
    response.call = CallKind::dashboard;
    return response;
}

}  // namespace sema::http
