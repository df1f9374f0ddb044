#include "client/proxy.hpp"

#include "tests/support/catch.hpp"

#include <map>

using namespace sema;

namespace {

using Variables = std::map<std::string, std::string>;

std::optional<Proxy> proxy_of(const std::string& server, const Variables& variables) {
    return proxy_for(*parse_server_address(server), [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? "" : found->second;
    });
}

std::string url_of(const std::string& server, const Variables& variables) {
    const auto proxy = proxy_of(server, variables);
    return proxy ? proxy->url : "";
}

bool is_excepted(const std::string& host, const std::string& no_proxy) {
    return url_of("http://" + host + ":7717", {{"http_proxy", "p"}, {"no_proxy", no_proxy}}).empty();
}

}  // namespace

TEST_CASE("a server is reached through the proxy that the environment has for its scheme") {
    const Variables all = {
        {"http_proxy", "a"}, {"https_proxy", "b"}, {"HTTPS_PROXY", "c"}, {"all_proxy", "d"}};
    CHECK(url_of("http://build", all) == "a");
    CHECK(url_of("https://build", all) == "b");
    CHECK(url_of("https://build", {{"HTTPS_PROXY", "c"}}) == "c");
    CHECK(url_of("http://build", {{"all_proxy", "d"}, {"ALL_PROXY", "e"}}) == "d");
    CHECK(url_of("https://build", {{"ALL_PROXY", "e"}}) == "e");
    CHECK(url_of("http://build", {{"https_proxy", "b"}}) == "");
    CHECK(url_of("https://build", {{"http_proxy", "a"}}) == "");
    // Whoever asks a CGI program can set this one.
    CHECK(url_of("http://build", {{"HTTP_PROXY", "a"}}) == "");
}

TEST_CASE("a proxy is called by its variable and its address, without its password") {
    CHECK(proxy_of("http://build", {{"http_proxy", "http://proxy:3128"}})->name ==
          "the proxy http://proxy:3128 of http_proxy");
    CHECK(proxy_of("https://build", {{"HTTPS_PROXY", "http://me:se@same@proxy:3128/"}})->name ==
          "the proxy http://proxy:3128/ of HTTPS_PROXY");
    CHECK(proxy_of("http://build", {{"http_proxy", "me:sesame@proxy"}})->name ==
          "the proxy proxy of http_proxy");
}

TEST_CASE("no server on this machine is looked for through a proxy") {
    for (const char* server : {"http://localhost:1", "http://LOCALHOST", "http://a.localhost",
                               "http://localhost.", "http://127.0.0.1", "http://0.0.0.0", "http://[::1]",
                               "http://[::]", "http://[::ffff:127.0.0.1]", "unix:/run/s"}) {
        CAPTURE(server);
        CHECK_FALSE(proxy_of(server, {{"http_proxy", "p"}, {"all_proxy", "p"}}));
    }
    CHECK(proxy_of("http://10.0.0.1", {{"http_proxy", "p"}}));
}

TEST_CASE("no_proxy names hosts, and whatever is below them") {
    CHECK(is_excepted("build", "build"));
    CHECK(is_excepted("BUILD", "Build"));
    CHECK(is_excepted("build.example", "other, .example"));
    CHECK(is_excepted("build.example", "other example"));
    CHECK(is_excepted("build.example.", "example."));
    CHECK(is_excepted("build", "*"));
    CHECK_FALSE(is_excepted("build", ""));
    CHECK_FALSE(is_excepted("build", "builds"));
    CHECK_FALSE(is_excepted("rebuild", "build"));
    CHECK_FALSE(is_excepted("build.example", "build"));
    CHECK_FALSE(is_excepted("build", "other,*"));
    CHECK(url_of("http://build", {{"http_proxy", "p"}, {"NO_PROXY", "build"}}) == "");
    CHECK(url_of("http://build", {{"http_proxy", "p"}, {"no_proxy", "x"}, {"NO_PROXY", "build"}}) == "p");
}

TEST_CASE("no_proxy names addresses, and networks") {
    CHECK(is_excepted("10.1.2.3", "10.1.2.3"));
    CHECK(is_excepted("10.1.2.3", "x,10.0.0.0/8"));
    CHECK(is_excepted("10.1.2.3", "0.0.0.0/0"));
    CHECK(is_excepted("10.1.2.3", "10.1.2.2/31"));
    CHECK_FALSE(is_excepted("10.1.2.3", "10.1.2.4/31"));
    CHECK_FALSE(is_excepted("10.1.2.3", "10.1.2.0/33"));
    CHECK_FALSE(is_excepted("10.1.2.3", "10.1.2.0/"));
    CHECK_FALSE(is_excepted("10.1.2.3", "2.3"));
    CHECK(is_excepted("[fd00::1]", "fd00:0::1"));
    CHECK(is_excepted("[fd00::1]", "[fd00::1]"));
    CHECK(is_excepted("[fd00::1]", "fd00::/8"));
    CHECK_FALSE(is_excepted("[fd00::1]", "10.0.0.0/0"));
}
