#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <fstream>

// What semactl is told by variables and by its configuration file.

using namespace sema::test;
namespace fs = std::filesystem;

namespace {

const std::string mark = "\xEF\xBB\xBF";

ProgramOptions with(const std::string& variable, const std::string& value) {
    ProgramOptions options;
    options.environment[variable] = value;
    return options;
}

/// With a variable that is set, and empty.
Finished with_empty(const Semactl& semactl, const std::string& variable, std::vector<std::string> arguments) {
    arguments = Semactl::command(std::move(arguments));
    arguments.insert(arguments.begin(), {"env", variable + "="});
    return run_program(std::move(arguments), semactl.options());
}

}  // namespace

TEST_CASE("what variables say is taken without white space, a byte-order mark and quotes around it") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "2"}).status == 0);
    const std::string id = semactl.pool().str();
    for (const std::string& value :
         {mark + id + "\n", " '" + id + "'\r\n", std::string("vsim\n"), std::string("\"vsim\"")}) {
        CHECK(semactl({"inspect"}, with("SEMACTL_POOL", value)).status == 0);
        CHECK(semactl({"run", "--", "true"}, with("SEMACTL_POOL", value)).status == 0);
    }
    CHECK(semactl({"inspect", "env:POOL"}, with("POOL", mark + " " + id + "\n")).status == 0);
    for (const std::string& value :
         {" " + server.url() + "\n", "'" + server.url() + "'", mark + server.url()})
        CHECK(semactl({"ping"}, with("SEMACTL_SERVER", value)).status == 0);
    const std::string config = (semactl.folder() / "semactl/config.toml").string();
    CHECK(semactl({"inspect", "vsim"}, with("SEMACTL_CONFIG", config + "\n")).status == 0);
}

TEST_CASE("a variable that says something wrong is named, and its value is not") {
    const Semactl semactl("http://127.0.0.1:1");
    const auto refused = [&](const std::string& variable, std::vector<std::string> arguments,
                             const std::string& value = "hunter2 hunter2") {
        const Finished run = semactl(std::move(arguments), with(variable, value));
        CHECK(run.status == 2);
        CHECK_THAT(run.err, has_text(variable) && !has_text("hunter"));
        return run.err;
    };
    refused("SEMACTL_POOL", {"inspect"});
    CHECK_THAT(refused("SEMACTL_SERVER", {"ping"}),
               has_text("SEMACTL_SERVER: the server's address is not a URL"));
    CHECK_THAT(refused("SEMACTL_CONFIG", {"ping"}, "/nowhere"),
               has_text("SEMACTL_CONFIG: there is no configuration file /nowhere"));
    CHECK_THAT(semactl({"--server", "x y", "ping"}).err,
               has_text("--server: the server's address is not a URL"));
    const fs::path config = semactl.folder() / "semactl/config.toml";
    std::ofstream(config) << "server = 'x y'\n";
    ProgramOptions unset = with("SEMACTL_SERVER", "");
    CHECK_THAT(semactl({"ping"}, unset).err, has_text(config.string() + ":1: the server's address"));
}

TEST_CASE("a variable or an option that is empty does not count as left out") {
    const RunningServer server;
    const Semactl semactl(server.url());
    for (const std::string variable : {"SEMACTL_SERVER", "SEMACTL_CONFIG", "SEMACTL_POOL"}) {
        const bool is_pool = variable == "SEMACTL_POOL";
        const Finished run = with_empty(semactl, variable, {is_pool ? "inspect" : "ping"});
        CHECK(run.status == 2);
        CHECK_THAT(run.err, has_text(variable) && has_text("empty") && !has_text("not set"));
    }
    CHECK_THAT(with_empty(semactl, "SEMACTL_ADMIN_TOKEN", {"pools"}).err,
               has_text("SEMACTL_ADMIN_TOKEN is empty"));
    CHECK_THAT(with_empty(semactl, "POOL", {"inspect", "env:POOL"}).err,
               has_text("the variable POOL is empty"));
    CHECK(with_empty(semactl, "SEMACTL_POOL", {"run", "--", "true"}).status == 125);
    // Those that are not looked at.
    CHECK(with_empty(semactl, "SEMACTL_POOL", {"register", "vsim", "--count", "1"}).status == 0);
    CHECK(with_empty(semactl, "SEMACTL_SERVER", {"--server", server.url(), "ping"}).status == 0);
    for (const std::string option : {"--server", "--config"}) {
        const Finished run = semactl({option, "", "ping"});
        CHECK(run.status == 2);
        CHECK_THAT(run.err, has_text(option + " is empty"));
    }
}

TEST_CASE("a default configuration file that cannot be read is no reason not to run") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const std::string id = semactl.pool().str();
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const TempDir home;
    const fs::path file = home.path() / "semactl/config.toml";
    const auto goes_on = [&](const std::string& reason) {
        const ProgramOptions options = with("XDG_CONFIG_HOME", home.path().string());
        const Finished run = semactl({"run", id, "--wait", "0", "--", "true"}, options);
        CHECK(run.status == 0);
        CHECK(run.err ==
              "semactl: cannot read " + file.string() + ": " + reason + " (going on without it)\n");
        const Finished alias = semactl({"-q", "inspect", "vsim"}, options);
        CHECK(alias.status == 2);
        CHECK_THAT(alias.err, has_text("'vsim' is no pool") && has_text(reason));
        const std::string said = run.err;
        CHECK(semactl({"inspect", "vsim"}, options).err ==
              said + "semactl: 'vsim' is no pool: write a UUID, env:NAME, file:PATH, or an alias of " +
                  file.string() + ", which cannot be read\n");
        const Finished saving = semactl({"new", "--save", "gpu"}, options);
        CHECK(saving.status == 2);
        CHECK(saving.out.empty());
        CHECK(saving.err == said + "semactl: --save: " + file.string() + " cannot be read\n");
    };
    fs::create_directories(file);
    goes_on("Is a directory");
    fs::remove(file);
    fs::create_symlink(file, file);
    goes_on("Too many levels of symbolic links");
}

TEST_CASE("a configuration file that is named and cannot be read is refused") {
    const Semactl semactl("http://127.0.0.1:1");
    const std::string folder = semactl.folder().string();
    const Finished by_option = semactl({"--config", folder, "run", semactl.pool().str(), "--", "true"});
    CHECK(by_option.status == 125);
    CHECK(by_option.err == "semactl: cannot read " + folder + ": Is a directory\n");
    const Finished by_variable = semactl({"ping"}, with("SEMACTL_CONFIG", folder));
    CHECK(by_variable.status == 2);
    CHECK(by_variable.err == "semactl: SEMACTL_CONFIG: cannot read " + folder + ": Is a directory\n");
}

TEST_CASE("a proxy that stands between is named where something is wrong, without its password") {
    const Semactl semactl("http://seats.example.net:7717");
    const auto told_by = [&](const std::string& proxy) {
        ProgramOptions options = with("http_proxy", proxy);
        options.environment["no_proxy"] = "";
        options.environment["NO_PROXY"] = "";
        const Finished run = semactl({"ping"}, options);
        CHECK_THAT(run.err, !has_text("sesame"));
        return run.err;
    };
    CHECK(told_by("http://me:sesame@127.0.0.1:1") ==
          "semactl: http://seats.example.net:7717 is not available: Connection refused, through the proxy "
          "http://127.0.0.1:1 of http_proxy\n");
    CHECK(told_by("http://me:sesame@no-such-host.invalid") ==
          "semactl: http://seats.example.net:7717 is not available: cannot find the proxy "
          "http://no-such-host.invalid of http_proxy\n");
    CHECK_THAT(told_by("gopher://me:sesame@proxy"), has_text("gopher://proxy of http_proxy"));
    const auto answers = [](const std::string& status) {
        return std::vector<Scene>{{Scene::Wait::for_request, http(status, "<html>")}};
    };
    {
        const ScriptedServer proxy(answers("503 Service Unavailable"));
        CHECK_THAT(told_by(proxy.url()), has_text("is not available: status 503, through the proxy " +
                                                  proxy.url() + " of http_proxy"));
    }
    const ScriptedServer proxy(answers("200 OK"));
    CHECK_THAT(told_by(" " + proxy.url() + "\n"), has_text(", through the proxy " + proxy.url()));
}

TEST_CASE("a server on this machine is spoken to without the proxy, however it is written") {
    const RunningServer server;
    const std::string port = std::to_string(server.port());
    for (const std::string host : {"127.0.0.1", "0.0.0.0", "localhost", "LOCALHOST", "seats.localhost",
                                   "127.1", "[::ffff:127.0.0.1]"}) {
        CAPTURE(host);
        ProgramOptions options = with("http_proxy", "http://127.0.0.1:1");
        options.environment["all_proxy"] = "http://127.0.0.1:1";
        CHECK(Semactl("http://" + host + ":" + port)({"ping"}, options).status == 0);
    }
}
