#include "tests/e2e/semactl.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/proxy.hpp"
#include "tests/support/tls_files.hpp"
#include "tests/support/web_proxy.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>

// A real nginx and a real HAProxy before a real semad, with the configurations of docs/proxies.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    REQUIRE_FALSE(text.empty());
    return text;
}

// `text` with another value in the place of the one that the documented file has, everywhere.
std::string with(std::string text, const std::string& documented, const std::string& ours) {
    REQUIRE(text.find(documented) != std::string::npos);
    for (auto at = text.find(documented); at != std::string::npos;
         at = text.find(documented, at + ours.size()))
        text.replace(at, documented.size(), ours);
    return text;
}

// One of the two, in front of a semad with a pool of one slot, which may be lent out.
struct World {
    explicit World(WebProxy::Kind kind) : proxy(kind) {
        const std::string server_address = "127.0.0.1:" + std::to_string(server.port());
        const std::string folder = PROJECT_FOLDER "/docs/proxies/";
        std::string text;
        if (kind == WebProxy::Kind::nginx) {
            text = with(content(folder + "nginx.conf"), "listen 443 ssl;",
                        "listen " + proxy.host_and_port() + " ssl;");
            text = with(text, "/etc/semad/tls.pem", files.certificate);
            text = with(text, "/etc/semad/tls.key", files.key);
        } else {
            const auto both = (proxy.folder() / "both.pem").string();
            std::ofstream(both) << content(files.certificate) << content(files.key);
            text = with(content(folder + "haproxy.cfg"), "bind :443", "bind " + proxy.host_and_port());
            text = with(text, "/etc/semad/tls-and-key.pem", both);
        }
        proxy.start(with(text, "127.0.0.1:7717", server_address));
        REQUIRE(eventually([&] { return run({"register", "vsim", "--count", "1"}).status == 0; }));
    }

    ProgramOptions trusting() const {
        ProgramOptions options;
        options.environment["SEMACTL_CACERT"] = files.certificate;
        return semactl.options(options);
    }
    Finished run(Words words) const { return run_program(Semactl::command(std::move(words)), trusting()); }
    std::unique_ptr<Program> start(Words words) const {
        return std::make_unique<Program>(Semactl::command(std::move(words)), trusting());
    }
    // curl, as a client without a place in the queue.
    std::unique_ptr<Program> curl(Words words) const {
        words.insert(words.begin(),
                     {"curl", "-sS", "-w", " status %{http_code}", "--cacert", files.certificate});
        return std::make_unique<Program>(words);
    }
    std::string pool_url() const { return url + "/l/" + pool.id(); }

    RunningServer server{{"--rejoin", "5m"}};
    WebProxy proxy;
    CertificateFiles files = make_certificate(proxy.folder(), "seats");
    std::string url = "https://" + proxy.host_and_port();
    Semactl semactl{url};
    TestPool pool{server, semactl.pool().str()};
};

}  // namespace

TEST_CASE(
    "a borrow waits for longer than a minute through either, which is longer than their own time limits") {
    const World worlds[] = {World(WebProxy::Kind::nginx), World(WebProxy::Kind::haproxy)};
    std::vector<std::unique_ptr<Program>> waiters;
    for (const World& world : worlds) {
        world.pool.take(3600);
        waiters.push_back(world.curl({world.pool_url() + "/borrow", "-d", R"({"ttl":60,"wait":280})"}));
        waiters.push_back(world.start({"run", "vsim", "--wait", "10m", "--", "echo", "status 200"}));
        REQUIRE(eventually([&] { return world.pool.waiting() == 2; }));
    }
    std::this_thread::sleep_for(62s);
    for (const World& world : worlds)
        CHECK(world.pool.waiting() == 2);
    for (const World& world : worlds)
        world.pool.set_count(3);
    for (const auto& waiter : waiters) {
        CHECK(waiter->wait() == 0);
        CHECK_THAT(waiter->out(), has_text("status 200"));
        CHECK_THAT(waiter->err(), !has_text("not available"));
    }
}

TEST_CASE("events come through a proxy at once") {
    for (const auto kind : {WebProxy::Kind::nginx, WebProxy::Kind::haproxy}) {
        const World world(kind);
        const auto curl = world.curl({"-N", world.pool_url() + "/events"});
        const auto watch = world.start({"watch", "vsim"});
        REQUIRE(curl->prints("\"count\":1,"));
        REQUIRE(watch->prints("\"count\":1,"));
        const Stopwatch stopwatch;
        world.pool.set_count(2);
        CHECK(curl->prints("\"count\":2,"));
        CHECK(watch->prints("\"count\":2,"));
        // What was held back would come with a heartbeat at the earliest.
        CHECK(stopwatch.elapsed() < 10s);
    }
}

TEST_CASE("no UUID of a pool is in the logs of a proxy") {
    for (const auto kind : {WebProxy::Kind::nginx, WebProxy::Kind::haproxy}) {
        const World world(kind);
        // By the second call the first one's line would be written.
        for (int call = 0; call < 2; ++call) {
            const auto curl = world.curl({world.pool_url() + "/holders"});
            CHECK(curl->wait() == 0);
            CHECK_THAT(curl->out(), has_text("status 200"));
        }
        std::ifstream file(world.proxy.folder() / "access.log");
        const std::string access((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        CHECK_THAT(access + world.proxy.log(), !has_text(world.pool.id()));
    }
}

TEST_CASE("a client that hangs up before a proxy leaves the queue") {
    for (const auto kind : {WebProxy::Kind::nginx, WebProxy::Kind::haproxy}) {
        const World world(kind);
        world.pool.take(3600);
        const auto curl = world.curl({world.pool_url() + "/borrow", "-d", R"({"ttl":60,"wait":280})"});
        REQUIRE(eventually([&] { return world.pool.waiting() == 1; }));
        curl->signal(SIGKILL);
        CHECK(eventually([&] { return world.pool.waiting() == 0; }));
        const auto run = world.start({"run", "vsim", "--wait", "10m", "--", "true"});
        REQUIRE(run->warns("1st of 1"));
        run->signal(SIGTERM);
        CHECK(run->wait() == 128 + SIGTERM);
        CHECK(eventually([&] { return world.pool.waiting() == 0; }));
    }
}

namespace {

// A job that holds the slot until a file is there, and two that wait for it.
struct Jobs {
    template <class Start>
    Jobs(const std::filesystem::path& end, const TestPool& pool, Start start) : end_(end), pool_(pool) {
        const std::string until_there =
            "echo ready; until [ -e '" + end.string() + "' ]; do sleep 0.05; done; exit 4";
        holder = start(Words{"run", "vsim", "--ttl", "30", "--", "sh", "-c", until_there});
        REQUIRE(holder->prints("ready"));
        for (auto* waiter : {&first, &second}) {
            const std::size_t before = pool.waiting();
            *waiter = start(Words{"run", "vsim", "--wait", "5m", "--", "sh", "-c", "echo $SEMA_FENCE"});
            REQUIRE((*waiter)->warns(before == 0 ? "1st of 1" : "2nd of 2"));
        }
    }
    // The server is away, and all have noticed.
    void wait_for_trouble() const {
        REQUIRE(first->warns(" is not available: "));
        REQUIRE(second->warns(" is not available: "));
        REQUIRE(holder->warns("cannot renew the lease: "));
    }
    // It is back, and they go on as if nothing had been.
    void end() const {
        REQUIRE(holder->warns("the lease is renewed again"));
        REQUIRE(first->warns("is available again"));
        REQUIRE(second->warns("is available again"));
        // Between two of its calls one may be passed over.
        REQUIRE(eventually([&] {
            const Json queue = pool_.view().at("queue");
            return queue.size() >= 2 && std::none_of(queue.begin(), queue.end(), [](const Json& waiter) {
                       return waiter.value("away", false);
                   });
        }));
        std::ofstream(end_) << "now";
        CHECK(holder->wait() == 4);
        CHECK(first->wait() == 0);
        CHECK(second->wait() == 0);
        CHECK(std::stoi(first->out()) < std::stoi(second->out()));
        for (const Program* run : {holder.get(), first.get(), second.get()})
            CHECK_THAT(run->err(), !has_text("no such pool"));
    }

    std::unique_ptr<Program> holder, first, second;

  private:
    std::filesystem::path end_;
    const TestPool& pool_;
};

}  // namespace

TEST_CASE("semad restarts behind a proxy, and jobs that wait and run keep their places and leases") {
    for (const auto kind : {WebProxy::Kind::nginx, WebProxy::Kind::haproxy}) {
        World world(kind);
        const Jobs jobs(world.proxy.folder() / "end", world.pool,
                        [&](Words words) { return world.start(std::move(words)); });
        world.server.kill9();
        jobs.wait_for_trouble();
        world.server.start();
        jobs.end();
        CHECK(eventually([&] { return world.pool.in_use() == 0; }));
    }
}

namespace {

std::string plain_answer(const std::string& status, const std::string& type, const std::string& body) {
    return "HTTP/1.1 " + status + "\r\nContent-Type: " + type +
           "\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace

TEST_CASE("an ingress that answers 404 or 502 while semad restarts is unavailable, and no word on the pool") {
    // As Traefik and others answer.
    for (const std::string& answer :
         {plain_answer("404 Not Found", "text/plain; charset=utf-8", "404 page not found\n"),
          plain_answer("502 Bad Gateway", "text/html", "<html><body>502 Bad Gateway</body></html>")}) {
        CAPTURE(answer);
        RunningServer server({"--rejoin", "5m"});
        Proxy ingress(server.port(), answer);
        const Semactl semactl(ingress.url());
        REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
        const TestPool pool(server, semactl.pool().str());
        const Jobs jobs(semactl.folder() / "end", pool, [&](Words words) {
            return std::make_unique<Program>(Semactl::command(std::move(words)), semactl.options());
        });
        server.kill9();
        jobs.wait_for_trouble();
        // Also to those that come meanwhile.
        for (const Words& words : {Words{"inspect", "vsim"},
                                   {"holders", "vsim"},
                                   {"borrow", "vsim", "--ttl", "60"},
                                   {"return", "vsim", new_lease(), "--wait", "0"}}) {
            const Finished run = semactl(words);
            CHECK(run.status == 69);
            CHECK_THAT(run.err, !has_text("no such pool"));
        }
        Program late(Semactl::command({"run", "vsim", "--wait", "5m", "--", "true"}), semactl.options());
        REQUIRE(late.warns(" is not available: "));
        server.start();
        jobs.end();
        CHECK(late.wait() == 0);
    }
}
