#include "tests/e2e/callbacks.hpp"
#include "tests/support/reserved_port.hpp"
#include "tests/support/temp_dir.hpp"

#include <chrono>
#include <string>
#include <vector>

// What receivers do, and where they are.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> with(std::vector<std::string> options, const std::vector<std::string>& more) {
    options.insert(options.end(), more.begin(), more.end());
    return options;
}

/// Waits for the reason why the only callback's attempt failed.
std::string last_error(const RunningServer& server, const TestPool& pool) {
    std::string error;
    REQUIRE(eventually([&] {
        const Json list = callbacks(server, pool);
        if (list.empty() || list[0]["last_error"].is_null()) return false;
        error = list[0]["last_error"];
        return true;
    }));
    return error;
}

}  // namespace

TEST_CASE("receivers that hang or are slow hold up no other, and no grant") {
    const RunningServer server(allowing);
    const Receiver hanging(Receiver::hanging());
    const Receiver receiver;
    const TestPool stuck(server, 100);
    for (int i = 0; i < 40; ++i)
        queued(stuck, callback_to(hanging.url("/" + std::to_string(i % 2))));
    REQUIRE(eventually([&] { return hanging.connections() == 16; }));
    const TestPool pool(server, 20);
    const Stopwatch watch;
    for (int i = 0; i < 20; ++i)
        queued(pool, callback_to(receiver.url()));
    receiver.await(20);
    CHECK(pool.in_use() == 20);
    CHECK(stuck.in_use() == 40);
    // An attempt that hangs lasts longer.
    CHECK(watch.elapsed() < 14s);
}

TEST_CASE("an attempt fails in any way that a receiver fails, and the callback stays") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    std::string expected;
    std::string answer;
    SECTION("by closing the connection") {
        expected = "Empty reply";
    }
    SECTION("by an answer that is none") {
        answer = "220 mail.example.com ESMTP\r\n\r\n";
        expected = "it answered no HTTP";
    }
    SECTION("by another protocol") {
        answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n";
        expected = "it answered 101 (other protocols are not spoken)";
    }
    SECTION("by many headers") {
        answer = "HTTP/1.1 200 OK\r\n";
        for (int i = 0; i < 2000; ++i)
            answer += "X-Header: " + std::string(60, 'x') + "\r\n";
        expected = "the header of its answer was too long";
    }
    SECTION("by headers without an end") {
        answer = "HTTP/1.1 500 No\r\n" + std::string(200'000, 'x');
        expected = "it answered 500";
    }
    SECTION("by an answer that is too long") {
        answer = "HTTP/1.1 500 No\r\nContent-Length: 10000000\r\n\r\n" + std::string(200'000, 'x');
        expected = "it answered 500";
    }
    SECTION("by a redirect to where it may not go") {
        answer = Receiver::answer(302, "Location: http://169.254.169.254/\r\n");
        expected = "redirects are not followed";
    }
    const Receiver receiver([answer](const Receiver::Request&) { return answer; });
    queued(pool, callback_to(receiver.url()));
    CHECK_THAT(last_error(server, pool), has_text(expected));
    CHECK(pool.in_use() == 1);
}

TEST_CASE("the status is enough: what follows it is not waited for") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver([](const Receiver::Request&) {
        return "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + std::string(200'000, 'x');
    });
    queued(pool, callback_to(receiver.url()));
    receiver.await(1);
    CHECK(has_settled(server, pool));
    CHECK(receiver.calls() == 1);
}

TEST_CASE("nobody listens there, and later somebody does") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const ReservedPort nobody;
    queued(pool, callback_to("http://127.0.0.1:" + std::to_string(nobody.number()) + "/"));
    CHECK_THAT(last_error(server, pool), has_text("connect"));
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a receiver is known by its certificate") {
    const TempDir folder;
    const TestAuthority authority(folder.path());
    const Receiver receiver(Receiver::answering(200), authority.issue("receiver"));
    const std::vector<std::string> options = {"--callback-allow", "localhost", "--callback-allow",
                                              "127.0.0.1"};
    // libcurl would write the keys of its connections there.
    const auto keys = folder.path() / "keys";
    ProgramOptions program;
    program.environment["SSLKEYLOGFILE"] = keys.string();
    {
        const RunningServer server(with(options, {"--callback-ca", authority.certificate()}), program);
        const TestPool pool(server, 1);
        queued(pool, callback_to(receiver.url("/", "localhost")));
        const auto requests = receiver.await(1);
        CHECK(requests[0].headers.at("host") == "localhost:" + std::to_string(receiver.port()));
        CHECK(has_settled(server, pool));
        CHECK_FALSE(std::filesystem::exists(keys));
    }
    {
        const RunningServer server(options);
        const TestPool pool(server, 1);
        queued(pool, callback_to(receiver.url("/", "localhost")));
        CHECK_THAT(last_error(server, pool), has_text("SSL"));
        CHECK(receiver.calls() == 1);
    }
}

TEST_CASE("a file of authorities that has none is refused, at the start and when it is read anew") {
    const TempDir folder;
    const TestAuthority authority(folder.path());
    const std::string file = (folder.path() / "authorities.pem").string();
    const Finished missing =
        run_program({SEMAD, "--store", "memory:", "--listen", "127.0.0.1:0", "--callback-ca", file});
    CHECK(missing.status == 2);
    CHECK_THAT(missing.err, has_text("cannot read " + file));
    std::filesystem::copy_file(authority.certificate(), file);
    RunningServer server(with(allowing, {"--callback-ca", file}));
    std::ofstream(file) << "none\n";
    kill(server.pid(), SIGHUP);
    CHECK(eventually([&] { return server.log().find(file + " has no certificates") != std::string::npos; }));
    CHECK(run_program({SEMAD, "check", "--store", "memory:", "--callback-ca", file}).status == 2);
}

TEST_CASE("a receiver that hangs before TLS is agreed upon is one that hangs") {
    const TempDir folder;
    const TestAuthority authority(folder.path());
    const Receiver plain(Receiver::hanging());
    const Receiver receiver(Receiver::answering(200), authority.issue("receiver"));
    const RunningServer server(with(allowing, {"--callback-ca", authority.certificate()}));
    const TestPool stuck(server, 1);
    std::string url = plain.url();
    queued(stuck, callback_to(url.replace(0, 4, "https")));
    REQUIRE(eventually([&] { return plain.connections() == 1; }));
    const TestPool pool(server, 1);
    queued(pool, callback_to(receiver.url()));
    receiver.await(1);
    CHECK(has_settled(server, pool));
    // The lease of the other one lives on meanwhile.
    CHECK(stuck.in_use() == 1);
}

TEST_CASE("a private address is not connected to, unless it is named") {
    const Receiver receiver;
    const std::string host = "localhost:" + std::to_string(receiver.port());
    {
        const RunningServer server({"--callback-allow", "*"});
        const TestPool pool(server, 1);
        queued(pool, callback_to(receiver.url("/", "localhost")));
        CHECK_THAT(last_error(server, pool), has_text("private"));
        CHECK(receiver.connections() == 0);
    }
    const RunningServer server({"--callback-allow", host});
    const TestPool pool(server, 1);
    queued(pool, callback_to(receiver.url("/", "localhost")));
    receiver.await(1);
}

TEST_CASE("neither a proxy nor credentials are taken from the environment") {
    const Receiver proxy;
    const Receiver receiver;
    const TempDir home;
    { std::ofstream(home.path() / ".netrc") << "default login somebody password secret\n"; }
    ProgramOptions program;
    program.environment = {{"http_proxy", proxy.url()},
                           {"HTTP_PROXY", proxy.url()},
                           {"all_proxy", proxy.url()},
                           {"ALL_PROXY", proxy.url()},
                           {"no_proxy", ""},
                           {"HOME", home.path().string()}};
    const RunningServer server(allowing, program);
    const TestPool pool(server, 1);
    queued(pool, callback_to(receiver.url()));
    CHECK(receiver.await(1)[0].headers.count("authorization") == 0);
    CHECK(proxy.connections() == 0);
}

TEST_CASE("a list of receivers that a reload has made shorter holds for those who wait already") {
    const TempDir folder;
    const auto file = folder.path() / "semad.toml";
    const auto write = [&](const std::string& pattern) {
        std::ofstream(file) << "[callbacks]\nallow = [\"" << pattern << "\"]\n";
    };
    write("127.0.0.1");
    const RunningServer server({"--config", file.string()});
    const TestPool pool(server, 1);
    const Receiver receiver;
    const Slot held = pool.take();
    queued(pool, callback_to(receiver.url()));
    write("example.com");
    kill(server.pid(), SIGHUP);
    REQUIRE(eventually([&] { return pool.borrow(callback_to(receiver.url()).dump()).status == 400; }));
    REQUIRE(pool.returns(held));
    CHECK_THAT(last_error(server, pool), has_text("--callback-allow"));
    CHECK(receiver.connections() == 0);
    write("127.0.0.1");
    kill(server.pid(), SIGHUP);
    receiver.await(1);
}
