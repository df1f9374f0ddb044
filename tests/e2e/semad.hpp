#pragma once

#include "common/ids.hpp"
#include "tests/support/raw_client.hpp"
#include "tests/support/running_server.hpp"

#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sema::test {

using Json = nlohmann::json;

/// For the latest that something may happen which should happen at once, on a machine that does much else.
inline constexpr std::chrono::milliseconds promptly{500};

/// The same where the alternative is the whole time of a wait or a lease, half a minute or more: a busy
/// machine may halt a program, and a disk a commit, for seconds.
inline constexpr std::chrono::seconds in_time{10};

/// One thread serves all connections, so that what a test sends one after the other is done in that order.
inline const std::vector<std::string> one_thread = {"--threads", "1"};

/// Sends one request over a connection of its own.
HttpResponse call(int port, const std::string& method, const std::string& target,
                  const std::string& body = "", const std::string& headers = "");

/// `{"error": reason}`, as text.
std::string error_body(const std::string& reason);

/// What a borrow was granted.
struct Slot {
    std::string lease;
    int position = -1;
    std::int64_t expires_at_unix = 0;
    std::int64_t expires_in = 0;
};

/// The grant in a response. Throws where it is none.
Slot granted(const HttpResponse& response);

/// What a borrow with an extension's field was granted.
struct Grant : Slot {
    std::vector<int> positions;
    std::int64_t fence = 0;
    /// One for each position.
    std::vector<Json> payloads;
    std::int64_t granted_at_unix = 0;
};

/// The extended grant in a response. Throws where it is none.
Grant fully_granted(const HttpResponse& response);

/// The keys of the object in a body, in their order, with a space after each.
std::string keys_of(const std::string& body);

/// A UUID that nobody has used.
std::string new_lease();

/// As a crash does, or as a service manager does, whereupon the server must report success.
enum class End { kill, term };
void stop(RunningServer& server, End end);
void restart(RunningServer& server, End end);

/// A pool of a test's own on a running semad. Calls named for what they do throw where it isn't done; the
/// others give the response, whatever it is.
class TestPool {
  public:
    /// Registers a pool with `count` slots.
    TestPool(const RunningServer& server, int count);
    /// Any pool, registered or not.
    TestPool(const RunningServer& server, std::string id);

    const std::string& id() const { return id_; }
    std::string path() const { return "/l/" + id_; }

    HttpResponse put(const std::string& body) const { return call(port_, "PUT", path(), body); }
    HttpResponse get() const { return call(port_, "GET", path()); }
    HttpResponse remove() const { return call(port_, "DELETE", path()); }
    HttpResponse borrow(const std::string& body) const {
        return call(port_, "POST", path() + "/borrow", body);
    }
    HttpResponse give_back(const std::string& body) const {
        return call(port_, "POST", path() + "/return", body);
    }
    HttpResponse keepalive(const std::string& body) const {
        return call(port_, "POST", path() + "/keepalive", body);
    }
    HttpResponse resize(const std::string& body) const {
        return call(port_, "POST", path() + "/resize", body);
    }
    HttpResponse revoke(const std::string& body) const {
        return call(port_, "POST", path() + "/revoke", body);
    }
    HttpResponse cancel(const std::string& lease) const {
        return call(port_, "DELETE", path() + "/queue/" + lease);
    }
    HttpResponse holders() const { return call(port_, "GET", path() + "/holders"); }

    /// A PUT of all these fields, which must succeed.
    void set(const Json& fields) const;
    void set_count(int count) const;
    int count() const { return state("count"); }
    int in_use() const { return state("in_use"); }
    int available() const { return state("available"); }

    /// Borrows a slot that must be free.
    Slot take(double ttl = 60) const;
    /// Whether a slot is free. Takes it.
    bool takes_one() const;
    /// Borrows with these fields, one of which is an extension's, and a ttl of 60 where they have none. It
    /// must be granted.
    Grant take_with(const Json& fields) const;
    /// Whether the lease was still held.
    bool returns(const Slot& slot) const;
    bool renews(const Slot& slot, double ttl) const;
    bool revokes(int position) const;
    bool cancels(const std::string& lease) const;

    /// What `holders` shows.
    Json view() const;
    /// How many `holders` shows in the queue.
    std::size_t waiting() const { return view().at("queue").size(); }

    /// A request to borrow, to be sent over any connection.
    std::string borrow_request(double ttl, double wait) const;
    std::string borrow_request(const Json& fields) const;
    std::string return_request(const Slot& slot) const;

    /// A connection whose borrow was sent, and has to wait as the pool is exhausted. REQUIRES of a test that
    /// goes on to rely on the order in the queue: that the server has one_thread.
    RawClient queue_up(double wait = 60, double ttl = 60) const;
    /// The same with these fields, and a ttl and a wait of 60 where they have none.
    RawClient queue_up_with(const Json& fields) const;

  private:
    friend class EventStream;
    int state(const std::string& key) const;

    int port_;
    std::string id_;
};

/// While this lives, the server can store nothing, as if its disk were full and its store's files had to
/// become larger. REQUIRES: its store is SQLite.
class FullDisk {
  public:
    explicit FullDisk(const RunningServer& server);
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;
    ~FullDisk();

  private:
    pid_t pid_;
    rlimit before_{};
};

/// A watcher of a pool.
class EventStream {
  public:
    struct Event {
        std::string name;
        std::string data;
    };

    /// Throws where the pool is not there.
    explicit EventStream(const TestPool& pool);

    /// The response's head.
    const HttpResponse& head() const { return head_; }

    /// The next event; comments are passed over. Throws where the stream ends.
    Event next();
    /// The data of the next event, which is a `state`.
    Json next_state();
    /// The first state of which `condition` holds: changes in quick succession may make one event only.
    Json state_where(const std::function<bool(const Json&)>& condition);
    /// The next line that begins with a colon; other lines are passed over.
    std::string next_comment();
    /// Whether nothing came since the last event.
    bool is_silent() { return !connection_.has_answer(); }
    /// Whether the server ends the stream without another event.
    bool ends() { return connection_.closed_by_server(); }
    void close() { connection_.close(); }

  private:
    RawClient connection_;
    HttpResponse head_;
};

class Stopwatch {
  public:
    std::chrono::steady_clock::duration elapsed() const { return std::chrono::steady_clock::now() - start_; }

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace sema::test
