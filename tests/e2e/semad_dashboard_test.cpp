#include "tests/e2e/semad.hpp"
#include "tests/e2e/semad_config.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/tls_files.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

// Where the dashboard is served, and how. What it does in a browser is in tests/dashboard.

using namespace sema::test;
namespace fs = std::filesystem;

namespace {

HttpResponse get(int port, const std::string& path, const std::string& headers = "") {
    return call(port, "GET", path, "", headers);
}

/// The port of the address that the server says it has the dashboard on.
int dashboard_port(const RunningServer& server) {
    const std::regex line("dashboard on https?://127.0.0.1:([0-9]+)/dashboard/");
    std::string log;
    REQUIRE(eventually([&] {
        log = server.log();
        return std::regex_search(log, line);
    }));
    std::smatch found;
    std::regex_search(log, found, line);
    return std::stoi(found[1]);
}

}  // namespace

TEST_CASE("without the option there is no dashboard") {
    const RunningServer server;
    for (const std::string path : {"/", "/dashboard", "/dashboard/", "/dashboard/app.js"}) {
        CAPTURE(path);
        CHECK(get(server.port(), path).status == 404);
    }
    CHECK(server.log().find("dashboard") == std::string::npos);
}

TEST_CASE("the dashboard's files are served as they are in the repository") {
    const RunningServer server({"--dashboard"});
    int files = 0;
    for (const auto& entry : fs::directory_iterator(PROJECT_FOLDER "/server/dashboard")) {
        const std::string extension = entry.path().extension().string();
        if (extension != ".js" && extension != ".css" && extension != ".html" && extension != ".svg")
            continue;
        const std::string name = entry.path().filename().string();
        CAPTURE(name);
        std::ifstream file(entry.path());
        const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        const HttpResponse response = get(server.port(), "/dashboard/" + (name == "index.html" ? "" : name));
        CHECK(response.status == 200);
        CHECK(response.body == content);
        ++files;
    }
    CHECK(files > 10);
    CHECK(get(server.port(), "/dashboard/app.js").header("content-type") == "text/javascript; charset=utf-8");
    CHECK(get(server.port(), "/dashboard/").header("content-type") == "text/html; charset=utf-8");
    for (const std::string path : {"/dashboard/nothing", "/dashboard/../README.md", "/dashboard/assets.hpp"})
        CHECK(get(server.port(), path).status == 404);
    const HttpResponse posted = call(server.port(), "POST", "/dashboard/");
    CHECK(posted.status == 405);
    CHECK(posted.header("allow") == "GET, HEAD");
    CHECK(call(server.port(), "HEAD", "/dashboard/").body.empty());
}

TEST_CASE("the way to the dashboard is found from the root") {
    const RunningServer server({"--dashboard"});
    for (const std::string path : {"/", "/dashboard"}) {
        const HttpResponse response = get(server.port(), path);
        CHECK(response.status == 302);
        CHECK(response.header("location") == "dashboard/");
        CHECK(response.header("content-type") == "application/json");
    }
}

TEST_CASE("the dashboard may load and send nothing but its own") {
    const RunningServer server({"--dashboard"});
    for (const std::string path : {"/dashboard/", "/dashboard/app.js", "/dashboard/icon.svg"}) {
        const HttpResponse response = get(server.port(), path);
        const std::string policy = response.header("content-security-policy");
        CHECK(policy.rfind("default-src 'none'; ", 0) == 0);
        for (const char* part : {"script-src 'self'", "style-src 'self'", "connect-src 'self'",
                                 "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"}) {
            CAPTURE(part);
            CHECK(policy.find(part) != std::string::npos);
        }
        CHECK(policy.find("unsafe") == std::string::npos);
        CHECK(response.header("x-content-type-options") == "nosniff");
        CHECK(response.header("referrer-policy") == "no-referrer");
    }
}

TEST_CASE("a browser is sent again only what has changed") {
    const RunningServer server({"--dashboard"});
    const HttpResponse first = get(server.port(), "/dashboard/style.css");
    const std::string tag = first.header("etag");
    CHECK(first.header("cache-control") == "no-cache");
    CHECK(tag != get(server.port(), "/dashboard/app.js").header("etag"));
    for (const std::string& known : {tag, "\"other\", W/" + tag, std::string("*")}) {
        const HttpResponse again =
            get(server.port(), "/dashboard/style.css", "If-None-Match: " + known + "\r\n");
        CHECK(again.status == 304);
        CHECK(again.body.empty());
        CHECK(again.header("etag") == tag);
    }
    CHECK(get(server.port(), "/dashboard/style.css", "If-None-Match: \"other\"\r\n").status == 200);
}

TEST_CASE("the dashboard has an address of its own, with the calls that it makes") {
    const RunningServer server({"--dashboard-listen", "127.0.0.1:0"});
    const int port = dashboard_port(server);
    CHECK(port != server.port());
    CHECK(get(server.port(), "/dashboard/").status == 404);
    CHECK(get(server.port(), "/").status == 404);
    CHECK(get(port, "/dashboard/").status == 200);
    const TestPool pool(server, 2);
    CHECK(get(port, pool.path()).body == pool.get().body);
    CHECK(get(port, pool.path() + "/holders").status == 200);
}

TEST_CASE("the dashboard's own address speaks TLS where the others do") {
    const TempDir folder;
    const TestAuthority authority(folder.path());
    const CertificateFiles files = authority.issue("semad");
    const RunningServer server(
        {"--tls-cert", files.certificate, "--tls-key", files.key, "--dashboard-listen", "127.0.0.1:0"});
    const std::string url = "https://127.0.0.1:" + std::to_string(dashboard_port(server)) + "/dashboard/";
    const Finished run = run_program({"curl", "-sS", "--noproxy", "*", "--cacert", authority.certificate(),
                                      "-o", "/dev/null", "-w", "%{http_code}", url});
    INFO(run.err);
    CHECK(run.out == "200");
}

TEST_CASE("the configuration file has both settings of the dashboard") {
    for (const std::string text : {"dashboard = true\n", "[dashboard]\nlisten = \"127.0.0.1:0\"\n"}) {
        CAPTURE(text);
        const ConfigFile file(text);
        const RunningServer server(file.flags());
        CHECK(get(dashboard_port(server), "/dashboard/").status == 200);
    }
    const ConfigFile no("dashboard = false\n");
    const RunningServer off(no.flags());
    CHECK(get(off.port(), "/dashboard/").status == 404);
}
