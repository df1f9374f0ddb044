#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

void check_error(const HttpResponse& response, int status) {
    CHECK(response.status == status);
    CHECK(response.header("content-type") == "application/json");
    const auto body = nlohmann::json::parse(response.body);
    CHECK(body.size() == 1);
    CHECK_FALSE(body.at("error").get<std::string>().empty());
}

/// The response to bytes that come over a connection of their own.
HttpResponse answer_to(const RunningServer& server, const std::string& bytes) {
    RawClient client(server.port());
    client.send(bytes);
    return client.receive();
}

std::string chunked_put(const std::vector<std::string>& chunks) {
    std::string request =
        "PUT /l/" + id + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (const std::string& chunk : chunks) {
        char size[20];
        std::snprintf(size, sizeof size, "%zx\r\n", chunk.size());
        request += size + chunk + "\r\n";
    }
    return request + "0\r\n\r\n";
}

/// A body that registers one slot and is `size` bytes long.
std::string padded_count(std::size_t size) {
    std::string body = R"({"count":1})";
    body.insert(body.size() - 1, size - body.size(), ' ');
    return body;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
long resident_kilobytes(pid_t process) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
    }
    throw std::runtime_error("the process has no memory");
}
#endif

}  // namespace

TEST_CASE("an unknown path is not found, in JSON") {
    const RunningServer server;
    for (const std::string& path :
         {std::string("/"), std::string("/l"), std::string("/l/"), std::string("/x"), "/l/" + id + "/",
          "/l/" + id + "/borrow/", "/l/" + id + "/lend", "/l/" + id + "/borrow/return", "/L/" + id,
          "//l/" + id, std::string("/index.html"), std::string("/%00"), std::string("/%zz")}) {
        CAPTURE(path);
        // "/l/" names a pool, but by no UUID.
        for (const char* method : {"GET", "POST"}) {
            const HttpResponse response = call(server.port(), method, path);
            if (path != "/l/") {
                check_error(response, 404);
            } else {
                CHECK((response.status == 404 || response.status == 400 || response.status == 405));
            }
        }
    }
}

TEST_CASE("a method that a path doesn't take is refused with those it does") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const struct {
        std::string path;
        std::string allow;
        std::vector<const char*> refused;
    } cases[] = {
        {pool.path(), "GET, HEAD, PUT, DELETE", {"POST", "PATCH", "OPTIONS"}},
        {pool.path() + "/borrow", "POST", {"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"}},
        {pool.path() + "/return", "POST", {"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"}},
        {"/healthz", "GET, HEAD", {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}},
        {"/version", "GET, HEAD", {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}},
    };
    for (const auto& [path, allow, refused] : cases) {
        for (const char* method : refused) {
            CAPTURE(path, method);
            const HttpResponse response = call(server.port(), method, path, R"({"ttl":60,"count":5})");
            CHECK(response.header("allow") == allow);
            if (std::string(method) == "HEAD") {
                CHECK(response.status == 405);
            } else {
                check_error(response, 405);
            }
        }
    }
    CHECK(pool.count() == 1);
    CHECK(pool.in_use() == 0);
}

TEST_CASE("a method that HTTP doesn't know is refused, in JSON") {
    const RunningServer server;
    const HttpResponse response = call(server.port(), "LEND", "/l/" + id);
    CHECK((response.status == 400 || response.status == 405 || response.status == 501));
    check_error(response, response.status);
}

TEST_CASE("HEAD answers as GET does, without the body") {
    const RunningServer server;
    const TestPool pool(server, 1);
    for (const std::string& path :
         {pool.path(), "/l/" + id, std::string("/l/x"), std::string("/x"), std::string("/healthz")}) {
        CAPTURE(path);
        RawClient client(server.port());
        client.send(http_request("HEAD", path) + http_request("GET", path));
        const HttpResponse head = client.receive(true);
        const HttpResponse get = client.receive();
        CHECK(head.status == get.status);
        CHECK(head.header("content-type") == get.header("content-type"));
        CHECK(head.header("content-length") == get.header("content-length"));
        CHECK(get.header("content-length") == std::to_string(get.body.size()));
        CHECK_FALSE(get.body.empty());
    }
}

TEST_CASE("a query changes nothing") {
    const RunningServer server;
    const TestPool pool(server, 2);
    CHECK(call(server.port(), "GET", pool.path() + "?count=1&x=%7b?y=?").status == 200);
    CHECK(call(server.port(), "POST", pool.path() + "/borrow?ttl=1", R"({"ttl":7})").status == 200);
}

TEST_CASE("bytes that are no HTTP get a 400 in JSON, and the connection closes") {
    const RunningServer server;
    const std::string get = "GET /l/" + id + " HTTP/1.1\r\n";
    const std::string put = "PUT /l/" + id + " HTTP/1.1\r\nHost: localhost\r\n";
    const std::string body = R"({"count":1})";
    for (const std::string& bytes : {std::string("hello\r\n\r\n"),
                                     std::string("GET\r\n\r\n"),
                                     std::string("GET /\r\n\r\n"),
                                     std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15),
                                     std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
                                     std::string("GET  /  HTTP/1.1\r\nHost: x\r\n\r\n"),
                                     std::string("GET / HTTX/1.1\r\nHost: x\r\n\r\n"),
                                     get + "\r\n",
                                     get + "Host: a\r\nHost: b\r\n\r\n",
                                     get + "Host: localhost\r\nX\r\n\r\n",
                                     get + "Host: localhost\r\nX : y\r\n\r\n",
                                     get + "Host: localhost\r\n: y\r\n\r\n",
                                     get + "Host: localhost\r\nX: a\r\n b\r\n\r\n",
                                     get + "Host: localhost\r\nX: a\rb\r\n\r\n",
                                     get + "Host: localhost\r\nX: a" + std::string(1, '\0') + "b\r\n\r\n",
                                     put + "Content-Length: -1\r\n\r\n",
                                     put + "Content-Length: 1x\r\n\r\n" + body,
                                     put + "Content-Length: 11\r\nContent-Length: 12\r\n\r\n" + body,
                                     put + "Content-Length: 11\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
                                     put + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
                                     put + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n"}) {
        CAPTURE(bytes);
        RawClient client(server.port());
        client.send(bytes);
        const HttpResponse response = client.receive();
        CHECK((response.status == 400 || response.status == 505));
        check_error(response, response.status);
        CHECK(response.header("connection") == "close");
        CHECK(client.closed_by_server());
    }
    CHECK(call(server.port(), "GET", "/l/" + id).status == 404);
}

TEST_CASE("what follows a bad request on its connection is not done") {
    const RunningServer server;
    const TestPool pool(server, 1);
    RawClient client(server.port());
    client.send("nonsense\r\n\r\n" + pool.borrow_request(60, 0));
    CHECK(client.receive().status == 400);
    CHECK(client.closed_by_server());
    CHECK(pool.in_use() == 0);
}

TEST_CASE("a request line may be 8 KiB long with its line end") {
    const RunningServer server;
    const auto get = [](std::size_t size) {
        const std::string rest = "GET / HTTP/1.1\r\n";
        return "GET /" + std::string(size - rest.size(), 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    };
    check_error(answer_to(server, get(8192)), 404);
    RawClient client(server.port());
    client.send(get(8193));
    const HttpResponse refused = client.receive();
    check_error(refused, 414);
    CHECK(refused.header("connection") == "close");
    CHECK(client.closed_by_server());
}

TEST_CASE("headers may be 8 KiB long together") {
    const RunningServer server;
    const auto get = [](std::size_t size) {
        const std::string first = "Host: localhost\r\nX-One: " + std::string(2000, 'x') + "\r\n";
        const std::string last = "X-Two: \r\n";
        return "GET / HTTP/1.1\r\n" + first +
               "X-Two: " + std::string(size - first.size() - last.size(), 'x') + "\r\n\r\n";
    };
    check_error(answer_to(server, get(8192)), 404);
    RawClient client(server.port());
    client.send(get(8193));
    const HttpResponse refused = client.receive();
    check_error(refused, 431);
    CHECK(refused.header("connection") == "close");
    CHECK(client.closed_by_server());
}

TEST_CASE("a body may be 64 KiB long") {
    const RunningServer server;
    const std::size_t limit = 64 * 1024;
    CHECK(answer_to(server, http_request("PUT", "/l/" + id, padded_count(limit))).status == 200);
    const std::string body = padded_count(limit);
    CHECK(answer_to(server, chunked_put({body.substr(0, 5), body.substr(5)})).status == 200);
    call(server.port(), "DELETE", "/l/" + id);

    const std::string large = padded_count(limit + 1);
    for (const std::string& request : {http_request("PUT", "/l/" + id, large),
                                       chunked_put({large.substr(0, 40000), large.substr(40000)})}) {
        RawClient client(server.port());
        client.send(request);
        const HttpResponse refused = client.receive();
        check_error(refused, 413);
        CHECK(refused.header("connection") == "close");
        CHECK(client.closed_by_server());
    }
    CHECK(call(server.port(), "GET", "/l/" + id).status == 404);
}

TEST_CASE("a body that is announced as too large is refused before it is sent") {
    const RunningServer server;
    check_error(answer_to(server, "PUT /l/" + id +
                                      " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"),
                413);
}

TEST_CASE("the refusal of a large body reaches a client that sends on") {
    const RunningServer server;
    RawClient client(server.port());
    client.send(http_request("PUT", "/l/" + id, padded_count(1'000'000)));
    check_error(client.receive(), 413);
}

TEST_CASE("the kind of content does not matter") {
    const RunningServer server;
    const TestPool pool(server, 100);
    const std::string body = R"({"ttl":60,"x":")" + std::string(20'000, 'a') + R"("})";
    for (const char* type :
         {"", "Content-Type: application/json\r\n", "Content-Type: text/plain; charset=latin1\r\n",
          "Content-Type: application/x-www-form-urlencoded\r\n",
          "Content-Type: multipart/form-data; boundary=b\r\n", "Content-Type: multipart/form-data\r\n",
          "Content-Type: multipart/byteranges; boundary=b\r\n", "Content-Type: nonsense\r\n",
          "Content-Type:\r\n", "Accept: text/html\r\n", "Range: bytes=0-1\r\n",
          "Accept-Encoding: gzip, br\r\n"}) {
        CAPTURE(type);
        const HttpResponse response =
            call(server.port(), "POST", pool.path() + "/borrow", R"({"ttl":60})", type);
        CHECK(response.status == 200);
        CHECK(response.header("content-type") == "application/json");
        CHECK_FALSE(response.has("content-encoding"));
        CHECK(call(server.port(), "POST", pool.path() + "/borrow", body, type).status == 200);
    }
    CHECK(pool.in_use() == 24);
}

TEST_CASE("a client that asks for leave to send its body gets it") {
    const RunningServer server;
    RawClient client(server.port());
    const std::string body = R"({"count":1})";
    const std::string request = http_request("PUT", "/l/" + id, body, "Expect: 100-continue\r\n");
    client.send(request.substr(0, request.size() - body.size()));
    CHECK(client.receive().status == 100);
    client.send(body);
    CHECK(client.receive().status == 200);
    // The connection goes on, and a body too large is refused without leave.
    client.send("PUT /l/" + id +
                " HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n");
    check_error(client.receive(), 413);
}

TEST_CASE("requests sent in one go are answered in their order") {
    const RunningServer server;
    const TestPool pool(server, 3);
    RawClient client(server.port());
    client.send(pool.borrow_request(60, 0) + http_request("GET", pool.path()) + pool.borrow_request(60, 0) +
                http_request("GET", "/x") + http_request("PUT", pool.path(), R"({"count":2})") +
                pool.borrow_request(60, 0));
    CHECK(granted(client.receive()).position == 0);
    CHECK(nlohmann::json::parse(client.receive().body).at("in_use") == 1);
    CHECK(granted(client.receive()).position == 1);
    CHECK(client.receive().status == 404);
    CHECK(nlohmann::json::parse(client.receive().body).at("count") == 2);
    CHECK(client.receive().status == 409);
    CHECK_FALSE(client.has_answer());
}

TEST_CASE("requests sent behind a borrow that waits are answered after it") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient client(server.port());
    client.send(http_request("GET", "/") + pool.borrow_request(60, 60) + http_request("GET", pool.path()) +
                pool.borrow_request(60, 0));
    CHECK(client.receive().status == 404);
    client.send(http_request("GET", "/x"));
    CHECK(pool.in_use() == 1);
    CHECK_FALSE(client.has_answer());
    CHECK(pool.returns(held));
    CHECK(granted(client.receive()).position == 0);
    CHECK(nlohmann::json::parse(client.receive().body).at("in_use") == 1);
    CHECK(client.receive().status == 409);
    CHECK(client.receive().status == 404);
}

TEST_CASE("a thousand requests sent in one go are all answered") {
    const RunningServer server;
    const TestPool pool(server, 1000);
    RawClient client(server.port());
    std::string all;
    for (int i = 0; i < 1000; ++i)
        all += pool.borrow_request(60, 0);
    std::thread sender([&] { client.send(all); });
    int in_order = 0;
    try {
        while (in_order < 1000 && granted(client.receive()).position == in_order)
            ++in_order;
    } catch (const std::exception& error) {
        WARN(error.what());
    }
    sender.join();
    CHECK(in_order == 1000);
}

TEST_CASE("a request may arrive byte by byte") {
    const RunningServer server;
    const TestPool pool(server, 2);
    RawClient client(server.port());
    for (const char byte : pool.borrow_request(60, 0))
        REQUIRE(client.send(std::string(1, byte)));
    CHECK(granted(client.receive()).position == 0);
}

TEST_CASE("a request may arrive in any two pieces") {
    const RunningServer server;
    const TestPool pool(server, 1000);
    const std::string request = pool.borrow_request(60, 0);
    RawClient client(server.port());
    for (std::size_t cut = 1; cut < request.size(); ++cut) {
        client.send(request.substr(0, cut));
        CHECK_FALSE(client.has_answer());
        client.send(request.substr(cut));
        REQUIRE(client.receive().status == 200);
    }
}

TEST_CASE("a body may come in chunks") {
    const RunningServer server;
    CHECK(answer_to(server, chunked_put({"{\"cou", "nt\"", ":3}"})).status == 200);
    CHECK(TestPool(server, id).count() == 3);
}

TEST_CASE("a connection serves many requests until the client closes it or asks for that") {
    const RunningServer server;
    RawClient client(server.port());
    for (int i = 0; i < 3; ++i) {
        client.send(http_request("GET", "/healthz"));
        const HttpResponse response = client.receive();
        CHECK(response.status == 200);
        CHECK_FALSE(response.has("connection"));
    }
    client.send(http_request("GET", "/healthz", "", "Connection: close\r\n"));
    CHECK(client.receive().header("connection") == "close");
    CHECK(client.closed_by_server());
}

TEST_CASE("an error does not end the connection where the request was whole") {
    const RunningServer server;
    RawClient client(server.port());
    client.send(http_request("PUT", "/l/" + id, "nonsense"));
    CHECK(client.receive().status == 400);
    client.send(http_request("PUT", "/l/" + id, R"({"count":1})"));
    CHECK(client.receive().status == 200);
}

TEST_CASE("HTTP/1.0 is served") {
    const RunningServer server;
    const TestPool pool(server, 1);
    RawClient client(server.port());
    client.send("GET " + pool.path() + " HTTP/1.0\r\n\r\n");
    CHECK(client.receive().status == 200);
    CHECK(client.closed_by_server());
    RawClient keeping(server.port());
    for (int i = 0; i < 2; ++i) {
        keeping.send("GET " + pool.path() + " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        const HttpResponse response = keeping.receive();
        CHECK(response.status == 200);
        CHECK(response.header("connection") == "keep-alive");
    }
}

TEST_CASE("every response is dated") {
    const RunningServer server;
    CHECK(call(server.port(), "GET", "/healthz").has("date"));
}

TEST_CASE("clients that are idle, slow or waiting hold no thread") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const TestPool busy(server, 0);
    const std::string request = pool.borrow_request(60, 0);
    std::vector<RawClient> others;
    for (int i = 0; i < 200; ++i) {
        others.emplace_back(server.port());
        others.emplace_back(server.port());
        others.back().send(request.substr(0, 30 + static_cast<std::size_t>(i) % (request.size() - 31)));
        others.push_back(busy.queue_up());
    }
    const Stopwatch watch;
    const Slot slot = pool.take();
    CHECK(pool.returns(slot));
    CHECK(watch.elapsed() < in_time);
}

TEST_CASE("a client that reads nothing holds no thread") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    RawClient greedy(server.port());
    std::string many;
    for (int i = 0; i < 1000; ++i)
        many += http_request("GET", pool.path());
    // Until what is left unread fills all buffers on the way, and the server takes no more.
    std::thread sender([&] {
        for (int i = 0; i < 200 && greedy.send(many); ++i) {
        }
    });
    const Stopwatch watch;
    for (int i = 0; i < 20; ++i)
        CHECK(pool.in_use() == 0);
    CHECK(watch.elapsed() < 10s);
    greedy.half_close();
    sender.join();
}

// The sanitizers keep memory of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("what is sent ahead of its turn does not pile up in the server") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const auto before = resident_kilobytes(server.pid());
    std::string many;
    while (many.size() < 2'000'000)
        many += http_request("GET", pool.path());
    std::vector<RawClient> greedy;
    std::vector<std::thread> senders;
    for (int i = 0; i < 20; ++i)
        greedy.emplace_back(server.port());
    for (RawClient& client : greedy)
        senders.emplace_back([&] { client.send(many); });
    for (int i = 0; i < 20; ++i)
        pool.in_use();
    // 64 KiB of input for each, and no more than that again around it; with TLS, records of 16 KiB too.
    CHECK(resident_kilobytes(server.pid()) < before + 20 * 192);
    for (RawClient& client : greedy)
        client.half_close();
    for (std::thread& sender : senders)
        sender.join();
}

TEST_CASE("what is sent while answers are left unread does not pile up in the server") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    std::string some;
    for (int i = 0; i < 50; ++i)
        some += http_request("GET", pool.path());
    RawClient greedy(server.port());
    greedy.receive_at_most(4096);
    std::thread sender([&] {
        // Slowly, so that the server waits for more when its answers no longer fit into the connection.
        for (int i = 0; i < 800 && greedy.send(some); ++i)
            std::this_thread::sleep_for(1ms);
        while (greedy.send(some)) {
        }
    });
    const auto before = resident_kilobytes(server.pid());
    const Stopwatch watch;
    CHECK_FALSE(eventually([&] { return resident_kilobytes(server.pid()) > before + 4096; }, 3s));
    greedy.half_close();
    sender.join();
}
#endif

TEST_CASE("a connection above --max-connections is told so, and a later one is served", "[plain]") {
    const RunningServer server({"--max-connections", "3"});
    std::vector<RawClient> clients;
    for (int i = 0; i < 3; ++i) {
        clients.emplace_back(server.port());
        clients.back().send(http_request("GET", "/healthz"));
        CHECK(clients.back().receive().status == 200);
    }
    {
        RawClient refused(server.port());
        const HttpResponse response = refused.receive();
        check_error(response, 503);
        CHECK(response.has("retry-after"));
        CHECK(refused.closed_by_server());
    }
    clients.front().send(http_request("GET", "/healthz"));
    CHECK(clients.front().receive().status == 200);
    clients.pop_back();
    CHECK(eventually([&] {
        try {
            return call(server.port(), "GET", "/healthz").status == 200;
        } catch (const std::exception&) {
            return false;
        }
    }));
}

TEST_CASE("a Unix socket, an IPv6 and two IPv4 addresses serve the same pools") {
    const TempDir folder;
    const auto socket = folder.path() / "semad.sock";
    const RunningServer server(
        {"--listen", "unix:" + socket.string(), "--listen", "[::1]:0", "--listen", "127.0.0.2:0"});
    const TestPool pool(server, 4);
    const std::string log = server.log();
    const auto port_after = [&](const std::string& text) {
        REQUIRE(log.find(text) != std::string::npos);
        return std::stoi(log.substr(log.find(text) + text.size()));
    };
    std::vector<RawClient> clients;
    clients.emplace_back(server.port());
    clients.emplace_back(socket);
    clients.emplace_back(port_after("//[::1]:"), "::1");
    clients.emplace_back(port_after("//127.0.0.2:"), "127.0.0.2");
    CHECK(log.find("unix:" + socket.string()) != std::string::npos);
    int position = 0;
    for (RawClient& client : clients) {
        client.send(pool.borrow_request(60, 0));
        CHECK(granted(client.receive()).position == position++);
    }
}

TEST_CASE("a borrower that is gone before its answer loses its lease, over a Unix socket too") {
    const TempDir folder;
    const auto socket = folder.path() / "semad.sock";
    const RunningServer server({"--listen", "unix:" + socket.string()});
    const TestPool pool(server, 100);
    halt(server.pid());
    for (int i = 0; i < 50; ++i) {
        RawClient client(socket);
        client.send(pool.borrow_request(60, 0));
    }
    kill(server.pid(), SIGCONT);
    CHECK(eventually([&] { return pool.in_use() == 0; }));
    RawClient half(socket);
    half.send(pool.borrow_request(60, 0));
    half.half_close();
    CHECK(granted(half.receive()).position == 0);
    CHECK(half.closed_by_server());
    CHECK(pool.in_use() == 1);
}

TEST_CASE("the documented curl commands work as they stand", "[plain]") {
    const RunningServer server;
    const std::string url = server.url() + "/l/" + id;
    const auto curl = [](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"curl", "-sS", "--noproxy", "*", "-w", "\n%{http_code}"});
        const Finished run = run_program(arguments);
        CHECK(run.err.empty());
        return run.out;
    };
    CHECK(curl({"-X", "PUT", url, "-d", R"({"count": 4})"}) ==
          R"({"id":")" + id + R"(","count":4,"in_use":0,"available":4})" + "\n200");
    const std::string borrowed = curl({"-X", "POST", url + "/borrow", "-d", R"({"ttl": 30, "wait": 25})"});
    const auto end = borrowed.find('\n');
    REQUIRE(borrowed.substr(end) == "\n200");
    const auto lease = nlohmann::json::parse(borrowed.substr(0, end));
    CHECK(lease.size() == 4);
    CHECK(lease.at("position") == 0);
    CHECK(lease.at("expires_in") == 30);
    const std::string body = R"({"lease": ")" + lease.at("lease").get<std::string>() + "\"}";
    CHECK(curl({"-H", "Content-Type: application/json", "-H", "Expect: 100-continue", "-d", body,
                url + "/return"}) == "{\"returned\":true}\n200");
    CHECK(curl({"-d", body, url + "/return"}) == "{\"returned\":false}\n200");
    CHECK(curl({"--head", "-o", "/dev/null", url}) == "\n200");
    CHECK(curl({url}) == R"({"id":")" + id + R"(","count":4,"in_use":0,"available":4})" + "\n200");
    CHECK(curl({"-F", R"(body={"ttl": 1})", url + "/borrow"}) ==
          error_body("body is not valid JSON") + "\n400");
    CHECK(curl({"-X", "DELETE", url}) == "{\"deleted\":true}\n200");
}
