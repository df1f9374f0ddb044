#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/tls_files.hpp"

#include <filesystem>

// What is agreed upon in TLS, and with whom, as the tools of others see it.

using namespace sema::test;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// A semad that speaks TLS, and what its clients trust.
struct Secured {
    explicit Secured(Words more = {})
        : server([&] {
              more.insert(more.begin(), {"--tls-cert", files.certificate, "--tls-key", files.key});
              return more;
          }()) {}

    std::string address() const { return "127.0.0.1:" + std::to_string(server.port()); }

    TempDir folder;
    TestAuthority authority{folder.path()};
    CertificateFiles files = authority.issue("semad");
    RunningServer server;
};

Finished s_client(const Secured& semad, const Words& more, const std::string& input = "") {
    Words words = {"openssl",       "s_client", "-connect",
                   semad.address(), "-CAfile",  semad.authority.certificate()};
    words.insert(words.end(), more.begin(), more.end());
    ProgramOptions options;
    options.input = input;
    return run_program(words, options);
}

/// What curl prints, with the response's status in a last line; curl's exit status where there is none.
std::string curl(const Secured& semad, const std::string& path, const Words& more = {}) {
    Words words = {"curl",
                   "-sS",
                   "--noproxy",
                   "*",
                   "--cacert",
                   semad.authority.certificate(),
                   "-w",
                   "\n%{http_code}",
                   semad.server.url() + path};
    words.insert(words.end(), more.begin(), more.end());
    const Finished run = run_program(words);
    return run.status == 0 ? run.out : "failed with " + std::to_string(run.status) + ": " + run.err;
}

bool holds(const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
    return text.find(part) != std::string::npos;
}

const std::string ok = "{\"status\":\"ok\"}\n200";

}  // namespace

TEST_CASE("TLS 1.2 and 1.3 are spoken, and nothing older") {
    const Secured semad;
    CHECK(curl(semad, "/healthz", {"--tlsv1.2", "--tls-max", "1.2"}) == ok);
    CHECK(curl(semad, "/healthz", {"--tlsv1.3"}) == ok);
    const Finished old = s_client(semad, {"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"});
    CHECK(old.status != 0);
    // Said by the server.
    holds(old.err, "alert protocol version");
}

TEST_CASE("a client that knows the authority has nothing to object to, by whatever name it asks") {
    const Secured semad;
    for (const Words& name : {Words{"-servername", "localhost"}, Words{"-servername", "seats.example.net"},
                              Words{"-noservername"}}) {
        const Finished run = s_client(semad, name, "Q\n");
        CHECK(run.status == 0);
        holds(run.out, "Verify return code: 0 (ok)");
    }
}

TEST_CASE("HTTP/1.1 is what is agreed upon, and a client that wants another protocol is told so") {
    const Secured semad;
    holds(s_client(semad, {"-alpn", "h2,http/1.1"}, "Q\n").out, "ALPN protocol: http/1.1");
    holds(s_client(semad, {}, "Q\n").out, "No ALPN negotiated");
    holds(s_client(semad, {"-alpn", "h2"}).err, "alert no application protocol");
}

TEST_CASE("renegotiation and compression are refused, a ticket is taken") {
    const Secured semad;
    const Finished renegotiating = s_client(semad, {"-tls1_2"}, "R\n");
    holds(renegotiating.err, "RENEGOTIATING");
    holds(renegotiating.err, "no renegotiation");
    holds(s_client(semad, {"-comp", "-tls1_2"}, "Q\n").out, "Compression: NONE");
    const std::string session = (semad.folder.path() / "session").string();
    // With an answer read, the ticket has come.
    const std::string request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    s_client(semad, {"-sess_out", session, "-ign_eof"}, request);
    REQUIRE(fs::exists(session));
    holds(s_client(semad, {"-sess_in", session}, "Q\n").out, "Reused, TLSv1.3");
}

TEST_CASE("with --tls-client-ca only clients with a certificate of it are served") {
    const TempDir folder;
    const TestAuthority clients(folder.path(), "clients");
    const TestAuthority strangers(folder.path(), "strangers");
    const CertificateFiles known = clients.issue("job");
    const CertificateFiles stranger = strangers.issue("stranger");
    const Secured semad({"--tls-client-ca", clients.certificate()});
    for (const std::string version : {"1.2", "1.3"}) {
        const auto with = [&](const CertificateFiles& files) {
            return Words{"--tls-max", version, "--cert", files.certificate, "--key", files.key};
        };
        CHECK(curl(semad, "/healthz", with(known)) == ok);
        const std::string refused = curl(semad, "/healthz", with(stranger));
        holds(refused, "failed with ");
        holds(refused, "unknown ca");
        const std::string nameless = curl(semad, "/healthz", {"--tls-max", version});
        holds(nameless, "failed with ");
        // The alert has this name in TLS 1.3 alone.
        holds(nameless, version == "1.3" ? "certificate required" : "handshake failure");
    }
}

TEST_CASE("with --tls-client-ca an authority below another one is enough, and stands for itself alone") {
    const TempDir folder;
    const TestAuthority root(folder.path(), "root");
    const TestAuthority clients = root.delegate("clients");
    const CertificateFiles known = clients.issue("job");
    const CertificateFiles other = root.issue("other");
    const Secured semad({"--tls-client-ca", clients.certificate()});
    for (const std::string version : {"1.2", "1.3"}) {
        const auto with = [&](const CertificateFiles& files) {
            return Words{"--tls-max", version, "--cert", files.certificate, "--key", files.key};
        };
        CHECK(curl(semad, "/healthz", with(known)) == ok);
        holds(curl(semad, "/healthz", with(other)), "unknown ca");
    }
}

TEST_CASE("plain HTTP where TLS is spoken gets an answer that says so") {
    const Secured semad;
    for (const std::string& request :
         {http_request("GET", "/healthz"), http_request("PUT", "/l/x", std::string(20'000, ' ')),
          std::string("nonsense\r\n\r\n")}) {
        RawClient client(semad.server.port());
        client.send(request);
        const HttpResponse response = client.receive();
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.header("connection") == "close");
        CHECK(response.body == error_body("TLS is spoken here: use https://"));
        client.half_close();
        CHECK(client.closed_by_server());
    }
    RawClient client(semad.server.port());
    client.send(http_request("HEAD", "/healthz"));
    CHECK(client.receive(true).status == 400);
    client.half_close();
    CHECK(client.closed_by_server());
}

TEST_CASE("TLS where plain HTTP is spoken ends at once") {
    const RunningServer server;
    const Finished run =
        run_program({"openssl", "s_client", "-connect", "127.0.0.1:" + std::to_string(server.port())});
    CHECK(run.status != 0);
    holds(run.err, "wrong version number");
}

TEST_CASE("a Unix socket stays plain beside TLS") {
    const TempDir folder;
    const auto socket = folder.path() / "semad.sock";
    const Secured semad({"--listen", "unix:" + socket.string()});
    RawClient client(socket);
    client.send(http_request("GET", "/healthz"));
    CHECK(client.receive().status == 200);
}

TEST_CASE("a stream of events over TLS ends as one that is whole") {
    const Secured semad;
    const std::string pool = "/l/9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";
    REQUIRE(curl(semad, pool, {"-X", "PUT", "-d", R"({"count":1})"}).find("\n200") != std::string::npos);
    Program watcher({"curl", "-sS", "-N", "--noproxy", "*", "--cacert", semad.authority.certificate(),
                     semad.server.url() + pool + "/events"});
    CHECK(watcher.prints("event: state"));
    curl(semad, pool + "/borrow", {"-d", R"({"ttl":60})"});
    CHECK(watcher.prints(R"("in_use":1)"));
    curl(semad, pool, {"-X", "DELETE"});
    // Without the end of TLS before that of the connection, curl would suspect that something is missing.
    CHECK(watcher.wait() == 0);
    CHECK(watcher.prints("event: deleted"));
}

TEST_CASE("a start with files that TLS cannot use is refused in a line") {
    const TempDir folder;
    const auto [certificate, key] = make_certificate(folder.path(), "semad");
    const auto [other_certificate, other_key] = make_certificate(folder.path(), "other");
    const auto refusal = [](Words options) {
        options.insert(options.begin(), {SEMAD, "--store", "memory:", "--listen", "127.0.0.1:0"});
        const Finished run = run_program(options);
        CHECK(run.status == 2);
        return run.err;
    };
    CHECK(refusal({"--tls-cert", certificate, "--tls-key", other_key}) ==
          "semad: cannot take the key from " + other_key + ": it does not fit the certificate in " +
              certificate + "\n");
    CHECK(refusal({"--tls-cert", certificate}) == "semad: --tls-cert needs --tls-key too\n");
    CHECK(refusal({"--tls-key", key}) == "semad: --tls-key needs --tls-cert too\n");
    CHECK(refusal({"--tls-client-ca", certificate}) == "semad: --tls-client-ca needs --tls-cert too\n");
}

TEST_CASE("semad check looks at the files of TLS") {
    const TempDir folder;
    const auto [certificate, key] = make_certificate(folder.path(), "semad");
    const auto check = [&](const std::string& key_file) {
        return run_program(
            {SEMAD, "check", "--store", "memory:", "--tls-cert", certificate, "--tls-key", key_file});
    };
    const Finished right = check(key);
    CHECK(right.status == 0);
    holds(right.out, "the certificate " + certificate + " and its key can be used\n");
    const Finished wrong = check(certificate);
    CHECK(wrong.status == 2);
    holds(wrong.err, "semad: cannot take the key from " + certificate + ": there is no key in it, in PEM\n");
}

TEST_CASE("a key that others can read and a certificate that has expired are warned of") {
    const TempDir folder;
    const auto [certificate, key] = make_expired_certificate(folder.path());
    fs::permissions(key, fs::perms::others_read, fs::perm_options::add);
    RunningServer server({"--tls-cert", certificate, "--tls-key", key});
    CHECK(server.program().warns(key + " holds the key of TLS and others can read it (chmod 600 it)"));
    CHECK(server.program().warns("the certificate in " + certificate + " expired on 2020-02-01"));
}
