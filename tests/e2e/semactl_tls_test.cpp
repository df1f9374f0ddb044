#include "tests/e2e/semactl.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/tls_files.hpp"
#include "tests/support/web_proxy.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

// semactl over https. A real nginx does the TLS, before a real semad.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

struct World {
    explicit World(const std::string& more = "") {
        start_nginx(ours, more);
        REQUIRE(semactl(trusting({"register", "vsim", "--count", "1"})).status == 0);
    }

    void start_nginx(const CertificateFiles& files, const std::string& more = "") {
        nginx.start("server { listen " + nginx.host_and_port() +
                    " ssl; listen 127.0.0.3:" + std::to_string(nginx.port()) + " ssl; ssl_certificate " +
                    files.certificate + "; ssl_certificate_key " + files.key + "; " + more +
                    " location / { proxy_pass " + server.url() + "; } }");
    }
    // Words with an option more.
    Words trusting(Words words) const {
        words.insert(words.begin(), {"--cacert", authority.certificate()});
        return words;
    }
    Finished told(Words words, ProgramOptions options = {}) const {
        return semactl(std::move(words), std::move(options));
    }

    RunningServer server;
    WebProxy nginx{WebProxy::Kind::nginx};
    TestAuthority authority{nginx.folder()};
    CertificateFiles ours = authority.issue("server");
    CertificateFiles self_signed = make_certificate(nginx.folder(), "self");
    std::string url = "https://" + nginx.host_and_port();
    Semactl semactl{url};
};

ProgramOptions with(const std::map<std::string, std::string>& variables) {
    ProgramOptions options;
    options.environment = variables;
    return options;
}

}  // namespace

TEST_CASE("semactl speaks to a server whose authority an option, a variable or the file names") {
    const World world;
    const std::string& ca = world.authority.certificate();
    const std::string& wrong = world.self_signed.certificate;
    const Words ping = {"ping"};
    CHECK(world.semactl({"--cacert", ca, "run", "vsim", "--", "true"}).status == 0);
    CHECK(world.semactl(ping, with({{"SEMACTL_CACERT", " " + ca + "\n"}})).status == 0);
    CHECK(world.semactl(ping, with({{"SEMACTL_CACERT", wrong}})).status == 69);
    // The file is read beside the configuration.
    const auto config = world.semactl.folder() / "semactl/config.toml";
    std::filesystem::copy(ca, config.parent_path() / "ca.pem");
    std::ofstream(config) << "cacert = 'ca.pem'\n";
    CHECK(world.semactl(ping).status == 0);
    // Options beat variables, and these beat the file.
    CHECK(world.semactl(ping, with({{"SEMACTL_CACERT", wrong}})).status == 69);
    CHECK(world.semactl({"--cacert", ca, "ping"}, with({{"SEMACTL_CACERT", wrong}})).status == 0);
}

TEST_CASE("a server that is not to be trusted is told at once, also to a run, which does not wait for that") {
    const World world;
    const std::string begin = "semactl: " + world.url + " cannot be trusted: its certificate is ";
    for (const Words& words :
         {Words{"ping"}, {"run", "vsim", "--wait", "10m", "--", "echo", "ran"}, {"watch", "vsim"}}) {
        const Finished run = world.told(words);
        CHECK(run.status == 69);
        CHECK(run.out.empty());
        CHECK_THAT(run.err, has_text(world.url + " cannot be trusted: its certificate is of no authority") &&
                                has_text("--cacert FILE names those to trust") && !has_text("again"));
    }
    const std::string lease = new_lease();
    CHECK(world.told({"return", "vsim", lease, "--wait", "10m"}).status == 69);
    CHECK(world.told({"keepalive", "vsim", lease, "--ttl", "60", "--wait", "10m"}).status == 69);
    const Finished other_name = world.told(
        world.trusting({"--server", "https://127.0.0.3:" + std::to_string(world.nginx.port()), "ping"}));
    CHECK(other_name.status == 69);
    CHECK_THAT(other_name.err, has_text("its certificate is for other names than the one in its address"));
    // With --cacert what the system trusts is none of it.
    const Finished other = world.told({"--cacert", world.self_signed.certificate, "ping"},
                                      with({{"SSL_CERT_FILE", world.authority.certificate()}}));
    CHECK(other.status == 69);
    CHECK_THAT(other.err, has_text(world.self_signed.certificate + " has those that are"));
}

TEST_CASE("a server that asks for a certificate gets ours") {
    const TempDir folder;
    const TestAuthority clients(folder.path(), "clients");
    const CertificateFiles mine = clients.issue("client");
    const CertificateFiles strange = make_certificate(folder.path(), "strange");
    World world;
    world.nginx.kill9();
    world.start_nginx(world.ours,
                      "ssl_verify_client on; ssl_client_certificate " + clients.certificate() + ";");
    const auto ping = [&](Words words, ProgramOptions options = {}) {
        words.push_back("ping");
        return world.told(world.trusting(words), std::move(options));
    };
    CHECK(ping({"--cert", mine.certificate, "--key", mine.key}).status == 0);
    CHECK(ping({}, with({{"SEMACTL_CERT", mine.certificate}, {"SEMACTL_KEY", mine.key}})).status == 0);
    // One file may have both.
    const auto both = (folder.path() / "both.pem").string();
    std::ofstream(both) << std::ifstream(mine.certificate).rdbuf() << std::ifstream(mine.key).rdbuf();
    CHECK(ping({"--cert", both}).status == 0);
    const auto config = world.semactl.folder() / "semactl/config.toml";
    std::ofstream(config) << "cert = '" << mine.certificate << "'\nkey = '" << mine.key << "'\n";
    CHECK(ping({}).status == 0);
    std::ofstream(config) << "\n";

    const Finished without = ping({});
    CHECK(without.status == 69);
    CHECK_THAT(without.err,
               has_text("it may ask for a certificate of its clients: --cert and --key name ours"));
    CHECK(ping({"--cert", strange.certificate, "--key", strange.key}).status == 69);
    const Finished no_pair = ping({"--cert", mine.certificate, "--key", strange.key});
    CHECK(no_pair.status == 125);
    CHECK_THAT(no_pair.err,
               has_text(mine.certificate + " and " + strange.key + " are no certificate and its key"));
}

TEST_CASE("a file for https that is not there is a wrong word, and nothing is borrowed") {
    const World world;
    const std::string& ca = world.authority.certificate();
    const auto refused = [&](const Words& words, const ProgramOptions& options = {}) {
        const Finished run = world.told(words, options);
        CHECK(run.status == (words.back() == "ping" ? 2 : 125));
        CHECK(run.out.empty());
        return run.err;
    };
    CHECK(refused({"--cacert", "/nowhere", "ping"}) ==
          "semactl: --cacert: cannot read /nowhere: No such file or directory\n");
    CHECK(refused({"--cacert", "/tmp", "ping"}) == "semactl: --cacert: cannot read /tmp: Is a directory\n");
    CHECK(refused({"--cert", "/nowhere", "run", "vsim", "--", "echo", "ran"}) ==
          "semactl: --cert: cannot read /nowhere: No such file or directory\n");
    CHECK(refused({"ping"}, with({{"SEMACTL_KEY", "/nowhere"}})) ==
          "semactl: SEMACTL_KEY: cannot read /nowhere: No such file or directory\n");
    CHECK(refused({"--key", ca, "ping"}) == "semactl: --key: a key needs its certificate (--cert)\n");
    CHECK(refused({"--cert", ca, "ping"}) ==
          "semactl: --cert: there is no key in " + ca + " (--key names the file that has it)\n");
    CHECK(refused({"--cacert", "", "ping"}) == "semactl: --cacert is empty\n");
    const auto config = world.semactl.folder() / "semactl/config.toml";
    std::ofstream(config) << "\ncacert = 'gone.pem'\n";
    CHECK(refused({"ping"}) == "semactl: " + config.string() + ":2: cannot read " +
                                   (config.parent_path() / "gone.pem").string() +
                                   ": No such file or directory\n");
    // One that is there and is none.
    std::ofstream(config) << "# none";
    const Finished none =
        world.told({"--cacert", config.string(), "run", world.semactl.pool().str(), "--", "echo", "ran"});
    CHECK(none.status == 125);
    CHECK_THAT(none.err, has_text("config.toml has no certificate in PEM"));
}

TEST_CASE("a key with a password is refused, and nobody is asked for it") {
    const World world;
    const auto locked = (world.nginx.folder() / "locked.key").string();
    REQUIRE(run_program({"openssl", "pkcs8", "-topk8", "-passout", "pass:sesame", "-in", world.ours.key,
                         "-out", locked})
                .status == 0);
    const Finished run =
        world.told(world.trusting({"--cert", world.ours.certificate, "--key", locked, "ping"}));
    CHECK(run.status == 125);
    CHECK_THAT(run.err, has_text("or the key has a password") && !has_text("PEM pass phrase"));
}

TEST_CASE("plain HTTP that is spoken to a port with TLS, and the reverse, is told what to write") {
    const World world;
    const std::string without = "http://" + world.nginx.host_and_port();
    for (const Words& words : {Words{"ping"}, {"run", "vsim", "--wait", "10m", "--", "true"}}) {
        Words all = {"--server", without};
        all.insert(all.end(), words.begin(), words.end());
        const Finished plain = world.told(all);
        CHECK(plain.status == 69);
        CHECK_THAT(plain.err, has_text("write https:// where it speaks TLS") && !has_text("again"));
    }
    const std::string over_tls = "https://127.0.0.1:" + std::to_string(world.server.port());
    for (const Words& words : {Words{"ping"}, {"run", "vsim", "--wait", "10m", "--", "true"}}) {
        Words all = {"--server", over_tls};
        all.insert(all.end(), words.begin(), words.end());
        const Finished tls = world.told(all);
        CHECK(tls.status == 69);
        CHECK_THAT(tls.err, has_text(over_tls + " speaks no TLS (write http:// for plain HTTP)"));
    }
}

TEST_CASE("a restart, also with a certificate that is not trusted, harms neither who waits nor who holds") {
    World world;
    const auto flag = world.semactl.folder() / "end";
    Program holder(Semactl::command(world.trusting(
                       {"run", "vsim", "--ttl", "20", "--", "sh", "-c",
                        "echo ready; until [ -e '" + flag.string() + "' ]; do sleep 0.05; done; exit 4"})),
                   world.semactl.options());
    REQUIRE(holder.prints("ready"));
    Program waiter(Semactl::command(world.trusting({"run", "vsim", "--wait", "5m", "--", "echo", "served"})),
                   world.semactl.options());
    REQUIRE(waiter.warns("1st of 1"));
    world.nginx.kill9();
    REQUIRE(waiter.warns("is not available: "));
    world.start_nginx(world.self_signed);
    REQUIRE(waiter.warns("is not available: it cannot be trusted: "));
    REQUIRE(holder.warns("cannot renew the lease: "));
    world.nginx.kill9();
    world.start_nginx(world.ours);
    REQUIRE(holder.warns("the lease is renewed again"));
    std::ofstream(flag) << "now";
    CHECK(holder.wait() == 4);
    CHECK(waiter.wait() == 0);
    CHECK(waiter.out() == "served\n");
}

// Pipes, as those of a shell's `<(...)`, and as files that are gone or on a disk that hangs.
TEST_CASE("a run reads its files for https once, and needs them no more to renew its lease") {
    const TempDir folder;
    const TestAuthority clients(folder.path(), "clients");
    const CertificateFiles mine = clients.issue("client");
    const auto both = (folder.path() / "both.pem").string();
    std::ofstream(both) << std::ifstream(mine.certificate).rdbuf() << std::ifstream(mine.key).rdbuf();
    World world;
    world.nginx.kill9();
    world.start_nginx(world.ours,
                      "ssl_verify_client on; ssl_client_certificate " + clients.certificate() + ";");
    const std::string ca = "--cacert <(cat '" + world.authority.certificate() + "') ";
    const bool has_key_file = GENERATE(true, false);
    const std::string pair = has_key_file
                                 ? "--cert <(cat '" + mine.certificate + "') --key <(cat '" + mine.key + "') "
                                 : "--cert <(cat '" + both + "') ";
    const std::string line =
        "exec \"$0\" " + ca + pair +
        "-v run vsim --ttl 10 --wait 0 -- sh -c 'until [ -e end ]; do sleep 0.05; done; exit 4'";
    ProgramOptions options;
    options.directory = world.semactl.folder();
    Program run({"bash", "-c", line, SEMACTL}, world.semactl.options(options));
    REQUIRE(run.warns("renewed the lease"));
    // A new connection needs them, too.
    world.nginx.kill9();
    REQUIRE(run.warns("cannot renew the lease: "));
    world.start_nginx(world.ours,
                      "ssl_verify_client on; ssl_client_certificate " + clients.certificate() + ";");
    REQUIRE(run.warns("the lease is renewed again"));
    std::ofstream(world.semactl.folder() / "end") << "now";
    CHECK(run.wait() == 4);
}

TEST_CASE("what is wrong with a file for https that a run has read is said by its name") {
    const World world;
    const auto none = world.semactl.folder() / "none.pem";
    std::ofstream(none) << GENERATE("", "# none",
                                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const Words run = {"run", world.semactl.pool().str(), "--", "echo", "ran"};
    const auto with_options = [&](Words words) {
        words.insert(words.end(), run.begin(), run.end());
        const Finished finished = world.told(words);
        CHECK(finished.status == 125);
        CHECK(finished.out.empty());
        return finished.err;
    };
    CHECK_THAT(with_options({"--cacert", none}), has_text("none.pem has no certificate in PEM"));
    CHECK_THAT(with_options(world.trusting({"--cert", none, "--key", world.ours.key})),
               has_text("none.pem and " + world.ours.key + " are no certificate and its key in PEM"));
    CHECK_THAT(
        with_options(world.trusting({"--cert", world.ours.certificate, "--key", none})),
        has_text(world.ours.certificate + " and " + none.string() + " are no certificate and its key"));
}
