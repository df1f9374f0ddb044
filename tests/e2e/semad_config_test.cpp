#include "tests/e2e/semad_config.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/tls_files.hpp"

#include <fstream>
#include <iterator>

// semad and its configuration file: starting with it, `semad check`, `semad pools`.

using namespace sema::test;
namespace fs = std::filesystem;

namespace {

constexpr const char* some_id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

Finished semad(const std::vector<std::string>& arguments, const ProgramOptions& options = {}) {
    std::vector<std::string> command = {SEMAD};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run_program(command, options);
}

std::string one_line_of(const Finished& run) {
    CHECK(run.status == 2);
    CHECK(run.out.empty());
    CHECK_THAT(run.err, Catch::Matchers::StartsWith("semad: "));
    CHECK(run.err.find('\n') == run.err.size() - 1);
    return run.err;
}

}  // namespace

TEST_CASE("semad starts with all that its file says") {
    const TempDir folder;
    const fs::path socket = folder.path() / "semad.sock";
    const ConfigFile file("listen = 'unix:" + socket.string() +
                          "'\nstore = 'sqlite:" + (folder.path() / "a.db").string() +
                          "'\nsocket-mode = '0600'\n[limits]\nmax-count = 3\n[log]\nformat = 'json'\n");
    Program server({SEMAD, "--config", file.path()});
    REQUIRE(server.warns("\n"));
    CHECK_THAT(server.err(), Catch::Matchers::StartsWith("{\"time\":") &&
                                 has_text("unix:" + socket.string()) && has_text("a.db"));
    CHECK(fs::status(socket).permissions() == fs::perms(0600));
    server.signal(SIGTERM);
    CHECK(server.wait() == 0);
}

TEST_CASE("the first line says where semad listens, also where there is trouble before that") {
    const ConfigFile file(
        "limits.max-pools = 1\n[[pool]]\nname = 'a'\ncount = 1\n[[pool]]\nname = 'b'\ncount = 1\n");
    RunningServer server(file.flags());
    CHECK_THAT(server.log(), Catch::Matchers::StartsWith("semad "));
    CHECK(server.program().warns("there are as many pools as --max-pools allows"));
}

TEST_CASE("a flag beats the environment, which beats the file") {
    const ConfigFile file("[limits]\nmax-count = 10\n");
    const auto most = [&](const std::vector<std::string>& options, const std::string& variable) {
        ProgramOptions program;
        program.environment = {{"SEMAD_CONFIG", file.path()}, {"SEMAD_MAX_COUNT", variable}};
        const RunningServer server(options, program);
        const TestPool pool(server, std::string(some_id));
        for (int count = 1; count <= 100; count *= 10) {
            if (pool.put("{\"count\":" + std::to_string(count * 10) + "}").status != 200) return count;
        }
        return 1000;
    };
    CHECK(most({}, "") == 10);
    CHECK(most({}, "100") == 100);
    CHECK(most({"--max-count", "1"}, "100") == 1);
}

TEST_CASE("a file that is wrong keeps semad from starting, and is named with the line and the key") {
    const ConfigFile file("listen = '127.0.0.1:0'\n\n[limits]\nmax-tll = 5\n");
    CHECK(one_line_of(semad(file.flags())) ==
          "semad: " + file.path() +
              ":4: limits.max-tll: there is no such setting (did you mean 'limits.max-ttl'?)\n");
    CHECK(one_line_of(semad({"--config", "/no/such/file"})) ==
          "semad: cannot read /no/such/file: No such file or directory\n");
}

TEST_CASE(
    "declared pools are there from the start, with their settings, and the ids that semad pools shows") {
    const ConfigFile id(std::string(some_id) + "\n");
    const ConfigFile file(
        "[[pool]]\nname = 'vsim'\ncount = 2\nslots = ['a', 'b', 'spare']\ncooldown = '1h'\n"
        "[[pool]]\nname = 'gpu'\ncount = 1\nrenewable = false\nid-file = '" +
        id.path() + "'\n");
    RunningServer server(file.flags());
    const auto ids = declared_ids(file.flags({"--store", "sqlite:" + server.store().string()}));
    REQUIRE(ids.size() == 2);
    CHECK(ids.at("gpu") == some_id);
    const TestPool pool(server, ids.at("vsim"));
    CHECK(pool.view().at("name") == "vsim");
    CHECK(pool.view().at("cooldown") == 3600);
    CHECK(pool.take_with({{"slots", 2}}).payloads == std::vector<Json>{"a", "b"});
    CHECK_FALSE(TestPool(server, some_id).view().at("renewable").get<bool>());
    CHECK_THAT(server.log(), !has_text(some_id) && !has_text(ids.at("vsim")));

    SECTION("and are the same after a crash") {
        server.kill9();
        const auto again = [&] {
            return declared_ids(file.flags({"--store", "sqlite:" + server.store().string()}));
        };
        CHECK(again() == ids);
        server.start();
        CHECK(again() == ids);
        CHECK(pool.in_use() == 2);
    }
    SECTION("and are what the file says again after a start, whatever was changed meanwhile") {
        pool.set({{"count", 7}, {"cooldown", 0}, {"name", "other"}});
        REQUIRE(server.terminate() == 0);
        server.start();
        CHECK(pool.count() == 2);
        CHECK(pool.in_use() == 2);
        CHECK(pool.view().at("name") == "vsim");
        CHECK(pool.view().at("cooldown") == 3600);
    }
}

TEST_CASE("an id that the store made is another one in another store") {
    const ConfigFile file("[[pool]]\nname = 'vsim'\ncount = 1\n");
    const RunningServer one(file.flags());
    const RunningServer other(file.flags());
    CHECK(declared_ids(file.flags({"--store", "sqlite:" + one.store().string()})) !=
          declared_ids(file.flags({"--store", "sqlite:" + other.store().string()})));
}

TEST_CASE("semad pools says why it has no ids to show") {
    const ConfigFile file("[[pool]]\nname = 'vsim'\ncount = 1\n");
    const TempDir folder;
    const std::string store = "sqlite:" + (folder.path() / "semad.db").string();
    CHECK(one_line_of(semad(file.flags({"pools", "--store", store}))) ==
          "semad: the pools have no ids yet: " + store +
              " gets them when semad is first started with this configuration\n");
    CHECK_FALSE(fs::exists(folder.path() / "semad.db"));
    CHECK_THAT(one_line_of(semad(file.flags({"pools", "--store", "memory:"}))),
               has_text("memory: forgets the ids"));
    std::ofstream(folder.path() / "semad.db") << "no database, but long enough to be taken for something";
    CHECK_THAT(one_line_of(semad(file.flags({"pools", "--store", store}))),
               has_text("not an SQLite database"));
    // Where it has some, the store is named.
    const RunningServer server(file.flags());
    const std::string made = "sqlite:" + server.store().string();
    CHECK(semad(file.flags({"pools", "--store", made})).err ==
          "semad: the ids are those of the store " + made + "\n");
    CHECK_THAT(semad({"pools", "--store", made}).err,
               has_text("there is no configuration: name it with --config"));
    // Without such pools no store is looked at.
    const ConfigFile own(std::string("[[pool]]\nname = 'a b'\ncount = 12\nid = '") + some_id + "'\n");
    const Finished shown = semad(own.flags({"pools", "--store", store}));
    CHECK(shown.status == 0);
    CHECK(shown.out ==
          std::string("POOL                                  COUNT  NAME\n") + some_id + "     12  a b\n");
}

TEST_CASE("two pools with one id are refused, also where one has it from the store") {
    const ConfigFile file("[[pool]]\nname = 'vsim'\ncount = 1\n");
    RunningServer server(file.flags());
    const std::vector<std::string> store = {"--store", "sqlite:" + server.store().string()};
    const std::string id = declared_ids(file.flags(store)).at("vsim");
    REQUIRE(server.terminate() == 0);
    file.write("[[pool]]\nname = 'vsim'\ncount = 1\n\n[[pool]]\nname = 'other'\ncount = 1\nid = '" + id +
               "'\n");
    const std::string why = file.path() + ":5: pool: the pool 'vsim' has the same id";
    CHECK_THAT(one_line_of(semad(file.flags(store))), has_text(why) && !has_text(id));
    CHECK_THAT(semad(file.flags({"check", "--store", store[1]})).err, has_text(why) && !has_text(id));
    CHECK_THAT(one_line_of(semad(file.flags({"pools", "--store", store[1]}))),
               has_text(why) && !has_text(id));
}

TEST_CASE("semad check says that all is right, and changes nothing") {
    const ConfigFile file("[[pool]]\nname = 'vsim'\ncount = 1\n");
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    const auto check = [&] {
        const Finished run = semad(file.flags({"check", "--store", "sqlite:" + path.string()}));
        CAPTURE(run.err);
        CHECK(run.status == 0);
        CHECK(run.err.empty());
        CHECK_THAT(run.out, Catch::Matchers::StartsWith("the configuration " + file.path() +
                                                        " is right, and declares 1 pool\nthe store sqlite:"));
        return run.out;
    };
    CHECK_THAT(check(), has_text("is not there yet, and will be made"));
    CHECK_FALSE(fs::exists(path));
    Program server(
        {SEMAD, "--config", file.path(), "--listen", "127.0.0.1:0", "--store", "sqlite:" + path.string()});
    REQUIRE(server.warns("listening on"));
    CHECK_THAT(check(), has_text("is in use by another process"));
    server.signal(SIGKILL);
    server.wait();
    const auto size = fs::file_size(path.string() + "-wal");
    CHECK_THAT(check(), has_text("semad.db can be used"));
    CHECK(fs::file_size(path.string() + "-wal") == size);
}

TEST_CASE("semad check says each thing that is wrong in a line") {
    const ConfigFile token;
    const TempDir folder;
    const auto wrong = [&](const std::vector<std::string>& options) {
        std::vector<std::string> arguments = {"check"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        const Finished run = semad(arguments);
        CHECK(run.status == 2);
        return run.err;
    };
    CHECK(wrong({"--config", token.path(), "--admin-token-file", token.path(), "--store",
                 "sqlite:" + (folder.path() / "no/semad.db").string()}) ==
          "semad: cannot take the admin token from " + token.path() + ": it is empty\nsemad: cannot use " +
              (folder.path() / "no/semad.db").string() + " as a store: there is no folder " +
              (folder.path() / "no").string() + ": make it, or name another file\n");
    const ConfigFile bad("store = 3\n");
    CHECK(wrong(bad.flags()) == "semad: " + bad.path() + ":1: store: must be a text in quotes\n");
    CHECK_THAT(wrong({"--listen", "7717"}), has_text("--listen: "));
    CHECK_THAT(wrong({"--store", "redis://127.0.0.1:1"}),
               has_text("cannot use redis://127.0.0.1:1 as a store"));
    CHECK_THAT(wrong({"--store", "sqlite:" + folder.path().string()}), has_text("it is a folder"));
    CHECK_THAT(wrong({"--store", "sqlite:/dev/null"}), has_text("it is not a regular file"));
}

TEST_CASE("semad check warns of credentials of systemd's that it cannot read, and a start needs them") {
    const std::string folder = "/run/credentials/no-such-unit.service/";
    const auto warning = [&](const std::string& name) {
        return "semad: warning: cannot read the credential " + folder + name + ", which was not checked\n";
    };
    const ConfigFile secrets("admin-token-file = '" + folder +
                             "token'\n[tls]\ncertificate = '/etc/hostname'\nkey = '" + folder + "key'\n");
    const Finished run = semad(secrets.flags({"check", "--store", "memory:"}));
    CHECK(run.status == 0);
    CHECK(run.err == warning("token") + warning("key"));
    const Finished store =
        semad({"check", "--store", "redis://127.0.0.1:1", "--redis-password-file", folder + "redis"});
    CHECK(store.status == 0);
    CHECK(store.err == warning("redis"));
    CHECK_THAT(one_line_of(semad(secrets.flags({"--store", "memory:"}))), has_text(folder + "token"));

    const ConfigFile pool("[[pool]]\nname = 'vsim'\ncount = 1\nid-file = '" + folder + "vsim'\n");
    const std::string why =
        pool.path() + ":4: pool.id-file: cannot read " + folder + "vsim: No such file or directory";
    const Finished checked = semad(pool.flags({"check", "--store", "memory:"}));
    CHECK(checked.status == 0);
    CHECK(checked.err == "semad: warning: " + why + " (it was not checked)\n");
    for (const std::string command : {"pools", "--listen=127.0.0.1:0"})
        CHECK(one_line_of(semad(pool.flags({command, "--store", "memory:"}))) == "semad: " + why + "\n");
}

TEST_CASE("semad check for a reload does without the store, and not without the rest") {
    const ConfigFile file("store = 'redis://127.0.0.1:1'\n[[pool]]\nname = 'vsim'\ncount = 1\n");
    CHECK(semad(file.flags({"check"})).status == 2);
    const Finished run = semad(file.flags({"check", "--reload"}));
    CHECK(run.status == 0);
    CHECK(run.err.empty());
    CHECK(run.out == "the configuration " + file.path() + " is right, and declares 1 pool\n");
    CHECK(semad(file.flags({"check", "--reload", "--admin-token-file", "/no/token"})).status == 2);
    file.write("[[pool]]\nname = 'vsim'\n");
    CHECK(semad(file.flags({"check", "--reload"})).status == 2);
}

TEST_CASE("what is wrong with a file that the configuration names is told with the place of its name") {
    const auto wrong = [](const std::string& text) {
        const ConfigFile file(text);
        const Finished run = semad({"check", "--store", "memory:", "--config", file.path()});
        CHECK(run.status == 2);
        return run.err.substr(0, run.err.find('\n')).erase(0, ("semad: " + file.path()).size());
    };
    CHECK(wrong("\nadmin-token-file = '/no/token'\n") ==
          ":2: admin-token-file: cannot take the admin token from /no/token: No such file or directory");
    CHECK(wrong("[tls]\nkey = '/no/key'\ncertificate = '/no/cert'\n") ==
          ":3: tls.certificate: cannot take the certificate from /no/cert: No such file or directory");
    const TempDir folder;
    const auto [certificate, key] = make_certificate(folder.path(), "semad");
    CHECK(wrong("[tls]\ncertificate = '" + certificate + "'\nkey = '/no/key'\n") ==
          ":3: tls.key: cannot take the key from /no/key: No such file or directory");
    CHECK(wrong("[tls]\ncertificate = '" + certificate + "'\nkey = '" + key + "'\nclient-ca = '/no/ca'\n") ==
          ":4: tls.client-ca: cannot take the clients' authorities from /no/ca: No such file or directory");
}

TEST_CASE("semad check finds a database that is damaged") {
    RunningServer server;
    const TestPool pool(server, 1);
    for (int i = 0; i < 200; ++i)
        const TestPool more(server, 1);
    REQUIRE(server.terminate() == 0);
    const std::string store = "sqlite:" + server.store().string();
    REQUIRE(semad({"check", "--store", store}).status == 0);
    {
        std::fstream file(server.store(), std::ios::in | std::ios::out | std::ios::binary);
        for (int page = 1; page < static_cast<int>(fs::file_size(server.store()) / 4096); ++page) {
            file.seekp(page * 4096);
            file << std::string(64, '\xff');
        }
    }
    const Finished run = semad({"check", "--store", store});
    CHECK(run.status == 2);
    CHECK_THAT(run.err, has_text("damaged"));
}

TEST_CASE("what semad check quotes of a database with a damaged schema is text") {
    RunningServer server;
    REQUIRE(server.terminate() == 0);
    {
        std::fstream file(server.store(), std::ios::in | std::ios::out | std::ios::binary);
        std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        const auto place = bytes.find("BLOB NOT NULL");
        REQUIRE(place != bytes.npos);
        file.clear();
        file.seekp(static_cast<std::streamoff>(place));
        file << '\xff';
    }
    const Finished run = semad({"check", "--store", "sqlite:" + server.store().string()});
    CHECK(run.status == 2);
    CHECK_THAT(run.err, has_text("\"?LOB\"") && has_text("damaged"));
}

TEST_CASE("semad check warns of secrets that others can read") {
    const ConfigFile token("s3cret\n");
    fs::permissions(token.path(), fs::perms(0644));
    const Finished run = semad({"check", "--store", "memory:", "--admin-token-file", token.path()});
    CHECK(run.status == 0);
    CHECK(run.err == "semad: warning: " + token.path() +
                         " holds the admin token and others can read it (chmod 600 it)\n");
}
