#include "tests/e2e/notify_socket.hpp"
#include "tests/e2e/semad_config.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// What SIGHUP does to a semad that runs.

using namespace sema::test;

namespace {

constexpr const char* id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";
constexpr const char* other_id = "0d2b9c4e-7a01-4c8e-a1f0-9f1c2e7a5b3d";

std::string pool_with(int count, const std::string& more = "") {
    return "[[pool]]\nname = 'vsim'\nid = '" + std::string(id) + "'\ncount = " + std::to_string(count) +
           "\n" + more;
}

}  // namespace

TEST_CASE("a count that the file raises serves who waits, and touches no lease") {
    const ConfigFile file(pool_with(1));
    RunningServer server(file.flags(one_thread));
    const TestPool pool(server, std::string(id));
    const Slot held = pool.take();
    RawClient waiter = pool.queue_up();
    file.write(pool_with(2, "slots = ['a', 'b', 'c']"));
    reload(server);
    CHECK(granted(waiter.receive()).position == 1);
    file.write(pool_with(0));
    reload(server);
    CHECK(pool.count() == 0);
    CHECK(pool.in_use() == 2);
    CHECK(pool.renews(held, 60));
}

TEST_CASE("a pool that is new in the file is made, and one that left it stays and is named") {
    const ConfigFile file(pool_with(1));
    RunningServer server(file.flags());
    const TestPool pool(server, std::string(id));
    const Slot held = pool.take();
    file.write("[[pool]]\nname = 'gpu'\nid = '" + std::string(other_id) + "'\ncount = 3\n");
    reload(server);
    CHECK(TestPool(server, std::string(other_id)).count() == 3);
    CHECK_THAT(server.log(),
               has_text("the pool 'vsim' is no longer in the configuration: it stays as it is"));
    CHECK(pool.count() == 1);
    CHECK(pool.returns(held));
    CHECK_THAT(server.log(), !has_text(id) && !has_text(other_id));
}

TEST_CASE(
    "a setting that left the file has its default, and one that was changed elsewhere what the file says") {
    const ConfigFile file(pool_with(1, "cooldown = '1h'\n"));
    RunningServer server(file.flags());
    const TestPool pool(server, std::string(id));
    pool.set({{"count", 5}, {"renewable", false}});
    file.write(pool_with(1));
    reload(server);
    CHECK(pool.count() == 1);
    CHECK(pool.view().at("cooldown") == 0);
    CHECK(pool.view().at("renewable") == true);
}

TEST_CASE("a file that is wrong changes nothing, and is named in one line") {
    const ConfigFile file("[limits]\nmax-count = 5\n" + pool_with(1));
    RunningServer server(file.flags());
    const TestPool pool(server, std::string(id));
    const std::string before = server.log();
    for (const std::string& wrong :
         {std::string("[limits]\nmax-count = 6\n\n") + pool_with(2) + "cuont = 3\n",
          "[limits]\nmax-count = 6\n\n" + pool_with(2) + pool_with(2), std::string("[limits\n")}) {
        file.write(wrong);
        reload_in_vain(server);
    }
    REQUIRE(std::filesystem::remove(file.path()));
    reload_in_vain(server);
    const std::string log = server.log().substr(before.size());
    CHECK(std::count(log.begin(), log.end(), '\n') == 4);
    CHECK_THAT(log, has_text(" error: nothing was reloaded: " + file.path() + ":8: pool.cuont: "));
    CHECK_THAT(log, has_text(file.path() + ": No such file or directory"));
    CHECK_THAT(log, !has_text(id));
    CHECK(pool.count() == 1);
    CHECK(pool.put(R"({"count":6})").status == 400);

    file.write("[limits]\nmax-count = 6\n" + pool_with(2));
    reload(server);
    CHECK(pool.count() == 2);
    CHECK(pool.put(R"({"count":6})").status == 200);
}

TEST_CASE("what a file has no business to hold makes no line of the log, and nothing of the terminal") {
    const ConfigFile file(pool_with(1));
    RunningServer server(file.flags());
    const std::string before = server.log();
    file.write(R"("a\nsemad: all is well\r\u001b[2J\u009b\u007f" = 1)");
    reload_in_vain(server);
    const std::string log = server.log().substr(before.size());
    CHECK_THAT(log, has_text(file.path() + ":1: a semad: all is well  [2J  : there is no such setting"));
    CHECK(std::count(log.begin(), log.end(), '\n') == 1);
    const Finished check = run_program({SEMAD, "check", "--store", "memory:", "--config", file.path()});
    CHECK(check.status == 2);
    CHECK_THAT(check.err, has_text(":1: a semad: all is well  [2J  : there is no such setting"));
    CHECK(std::count(check.err.begin(), check.err.end(), '\n') == 1);
}

TEST_CASE("limits that are changed hold from the reload on, for pools that there are too") {
    const ConfigFile file("[limits]\nmax-ttl = '1h'\nmax-hold = '1h'\nmax-connections = 100\n" +
                          pool_with(3));
    RunningServer server(file.flags());
    const TestPool pool(server, std::string(id));
    const Slot before = pool.take(3600);
    const TestPool unused(server, 1);
    file.write("[limits]\nmax-ttl = '10m'\nmax-hold = '1h'\n" + pool_with(3));
    reload(server);
    CHECK(pool.take(3600).expires_in <= 600);
    CHECK(before.expires_in > 3000);
    file.write("[limits]\nmax-wait = 0\nmax-hold = '5m'\nmax-pools = 2\nmax-count = 3\n" + pool_with(3));
    reload(server);
    CHECK(pool.take(3600).expires_in <= 300);
    CHECK(pool.borrow(R"({"ttl":60,"wait":60})").status == 409);
    CHECK(pool.put(R"({"count":4})").status == 400);
    CHECK(TestPool(server, new_lease()).put(R"({"count":1})").status == 503);
    // A flag beats the file again.
    RunningServer flagged(file.flags({"--max-count", "7"}));
    file.write(pool_with(3));
    reload(flagged);
    CHECK(TestPool(flagged, std::string(id)).put(R"({"count":8})").status == 400);
}

TEST_CASE("the most connections there may be are changed by a reload") {
    const ConfigFile file("[limits]\nmax-connections = 1\n");
    RunningServer server(file.flags());
    RawClient kept(server.port());
    kept.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    REQUIRE(kept.receive().status == 200);
    CHECK(call(server.port(), "GET", "/healthz").status == 503);
    file.write("[limits]\nmax-connections = 20\n");
    reload(server);
    CHECK(call(server.port(), "GET", "/healthz").status == 200);
}

TEST_CASE("the log's level and form are changed by a reload") {
    const ConfigFile file("[log]\nlevel = 'warn'\n");
    RunningServer server(file.flags());
    file.write("[log]\nlevel = 'info'\nformat = 'json'\n");
    reload(server, "\"message\":\"the settings were read anew\"");
    file.write("[log]\nlevel = 'error'\n[[pool\n");
    reload(server, "\"level\":\"error\",\"message\":\"nothing was reloaded: ");
}

TEST_CASE("what a reload does not take is named") {
    const ConfigFile file("threads = 1\n");
    RunningServer server(file.flags());
    file.write("threads = 2\nadmin-token-file = '/x'\nlisten = '127.0.0.1:1'\n");
    reload(server);
    // A flag of the test's server says where it listens.
    CHECK_THAT(server.log(),
               has_text("changed, but taken only at the next start: admin-token-file, threads\n"));
    CHECK(call(server.port(), "GET", "/healthz").status == 200);
}

TEST_CASE("a semad without a configuration file survives SIGHUP") {
    RunningServer server;
    const TestPool pool(server, 1);
    const Slot slot = pool.take();
    reload(server);
    CHECK(pool.returns(slot));
}

TEST_CASE("pools that the store does not take are made once it does") {
    const ConfigFile file;
    RunningServer server(file.flags());
    {
        const FullDisk full(server);
        file.write(pool_with(1, "slots = ['" + std::string(100'000, 'x') + "']\n"));
        reload(server, "the pool 'vsim' could not be made what the configuration says: the store failed");
    }
    REQUIRE(server.program().warns("all pools of the configuration are there"));
    CHECK(TestPool(server, std::string(id)).count() == 1);
}

TEST_CASE("a pipe in the place of a file that semad reads does not keep it from its end") {
    const ConfigFile file(pool_with(1));
    RunningServer server(file.flags());
    const TempDir folder;
    const std::string pipe = (folder.path() / "pipe").string();
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    // Somebody holds it open, and writes nothing.
    const int holder = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(holder >= 0);
    file.write("[[pool]]\nname = 'vsim'\nid-file = '" + pipe + "'\ncount = 1\n");
    reload(server, pipe + ": it is not a regular file");
    file.write("[callbacks]\nca = '" + pipe + "'\n");
    reload(server, file.path() + ":2: callbacks.ca: cannot read " + pipe + ": it is not a regular file");
    REQUIRE(std::filesystem::remove(file.path()));
    std::filesystem::create_symlink(pipe, file.path());
    reload(server, file.path() + ": it is not a regular file");
    CHECK(server.terminate() == 0);
    for (const std::vector<std::string>& options : {std::vector<std::string>{"--admin-token-file", pipe},
                                                    {"--tls-cert", pipe, "--tls-key", pipe},
                                                    {"--callback-ca", pipe}}) {
        for (std::vector<std::string> command :
             {std::vector<std::string>{SEMAD, "check"}, {SEMAD, "--listen", "127.0.0.1:0"}}) {
            command.insert(command.end(), {"--store", "memory:"});
            command.insert(command.end(), options.begin(), options.end());
            const Finished refused = run_program(command);
            CHECK(refused.status == 2);
            CHECK_THAT(refused.err, has_text(pipe + ": it is not a regular file"));
        }
    }
    ::close(holder);
}

TEST_CASE("a supervisor is told of a reload, and when it is over, also where it failed") {
    const TempDir folder;
    const NotifySocket socket(folder.path() / "notify");
    ProgramOptions options;
    options.environment = {{"NOTIFY_SOCKET", (folder.path() / "notify").string()}};
    const ConfigFile file;
    RunningServer server(file.flags(), options);
    CHECK(socket.receive() == "READY=1");
    for (const char* text : {"", "nonsense"}) {
        file.write(text);
        const auto before = std::chrono::steady_clock::now();
        server.program().signal(SIGHUP);
        const std::string message = socket.receive();
        CAPTURE(message);
        const std::string start = "RELOADING=1\nMONOTONIC_USEC=";
        REQUIRE(message.starts_with(start));
        const std::chrono::microseconds told(std::stoll(message.substr(start.size())));
        CHECK(told >= std::chrono::duration_cast<std::chrono::microseconds>(before.time_since_epoch()));
        CHECK(told <= std::chrono::steady_clock::now().time_since_epoch());
        CHECK(socket.receive() == "READY=1");
    }
    CHECK(server.terminate() == 0);
    CHECK(socket.receive() == "STOPPING=1");
}
