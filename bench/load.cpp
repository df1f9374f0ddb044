// The benchmark's load: what wrk cannot do or does not tell apart. script/bench starts it; every mode
// prints its figures as `name=value`, times in microseconds, and ends with 1 at the first answer that
// should not be.

#include "bench/baseline.hpp"
#include "bench/connection.hpp"
#include "bench/figures.hpp"
#include "common/wire.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <random>

namespace sema::bench {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;

/// The servers under test, which share their pools, and the pools in them that the load uses.
struct Target {
    std::vector<unsigned short> ports;
    std::vector<std::string> pools;
    bool with_tls = false;

    const std::string& any_pool() const {
        static std::mt19937 random;
        return pools[std::uniform_int_distribution<std::size_t>(0, pools.size() - 1)(random)];
    }
    /// Of the server that a client with this number uses.
    tcp::endpoint endpoint(std::size_t client = 0) const {
        return {boost::asio::ip::address_v4::loopback(), ports[client % ports.size()]};
    }
};

[[noreturn]] void refuse(const char* call, Answer answer) {
    throw std::runtime_error(std::string(call) + " was answered " + std::to_string(answer.status) + " " +
                             std::string(answer.body));
}

/// One client with a connection of its own. Each time it borrows from any of the target's pools.
class Borrower {
  public:
    Borrower(boost::asio::io_context& io, const Target& target, std::size_t number = 0)
        : target_(target), connection_(io, target.endpoint(number), target.with_tls) {}

    /// Calls `granted` once a slot is held, `refused` where none came free within `wait`.
    void borrow(Duration wait, std::function<void()> granted, std::function<void()> refused) {
        pool_ = "/l/" + target_.any_pool();
        const auto body = wire::to_json(wire::BorrowRequest{60s, wait});
        connection_.call("POST", pool_ + "/borrow", body,
                         [this, granted = std::move(granted), refused = std::move(refused)](Answer answer) {
                             if (answer.status == 409) return refused();
                             const auto grant = wire::parse_lease_grant(answer.body);
                             if (answer.status != 200 || !grant) refuse("borrow", answer);
                             lease_ = grant->lease;
                             granted();
                         });
    }

    /// REQUIRES: a slot is held.
    void give_back(std::function<void()> done) {
        connection_.call("POST", pool_ + "/return", wire::to_json(wire::ReturnRequest{lease_}),
                         [done = std::move(done)](Answer answer) {
                             const auto returned = wire::parse_returned(answer.body);
                             if (answer.status != 200 || !returned || !returned->returned)
                                 refuse("return", answer);
                             done();
                         });
    }

  private:
    const Target& target_;
    Connection connection_;
    std::string pool_;
    LeaseId lease_;
};

/// Runs until nothing is under way any more; that must be within `limit`.
void run_within(boost::asio::io_context& io, Clock::duration limit) {
    io.restart();
    io.run_for(limit);
    if (!io.stopped()) throw std::runtime_error("the load did not come to its end in time");
}

// ---- pairs: clients that borrow and return without a pause -------------------------------------------

struct Pairs {
    Samples borrows;
    Samples pairs;
    int conflicts = 0;
};

void next_pair(Borrower& borrower, Duration wait, Clock::time_point end, Pairs& result) {
    const auto start = Clock::now();
    if (start >= end) return;
    borrower.borrow(
        wait,
        [&borrower, wait, end, &result, start] {
            result.borrows.add(Clock::now() - start);
            borrower.give_back([&borrower, wait, end, &result, start] {
                result.pairs.add(Clock::now() - start);
                next_pair(borrower, wait, end, result);
            });
        },
        [&borrower, wait, end, &result] {
            ++result.conflicts;
            next_pair(borrower, wait, end, result);
        });
}

void run_pairs(const Target& target, int clients, Duration wait, Duration time) {
    boost::asio::io_context io(1);
    std::vector<std::unique_ptr<Borrower>> borrowers;
    borrowers.reserve(static_cast<std::size_t>(clients));
    for (int i = 0; i < clients; ++i)
        borrowers.push_back(std::make_unique<Borrower>(io, target, static_cast<std::size_t>(i)));
    Pairs result;
    const auto start = Clock::now();
    for (const auto& borrower : borrowers)
        next_pair(*borrower, wait, start + time, result);
    run_within(io, time + wait + 10s);
    const std::chrono::duration<double> elapsed = Clock::now() - start;
    report("pairs_per_second", static_cast<double>(result.pairs.size()) / elapsed.count());
    report("borrow", result.borrows);
    report("pair", result.pairs);
    report("conflicts", result.conflicts);
}

// ---- wake: how long after a return is the waiter answered? -------------------------------------------

class Wake {
  public:
    Wake(const Target& target, int rounds)
        : holder_(io_, target, 0), waiter_(io_, target, 1), timer_(io_), rounds_(rounds) {}

    void run() {
        next_round();
        run_within(io_, rounds_ * 100ms);
        report("wake", samples_);
    }

  private:
    void next_round() {
        if (rounds_-- == 0) return;
        holder_.borrow(
            0s, [this] { wait_for_it(); }, taken);
    }

    void wait_for_it() {
        waiter_.borrow(
            30s,
            [this] {
                samples_.add(Clock::now() - returned_);
                waiter_.give_back([this] { part_done(); });
            },
            taken);
        // The rest is long enough for the request to be in the queue, on whatever store.
        timer_.expires_after(rest_before_hand_off);
        timer_.async_wait([this](const boost::system::error_code&) {
            returned_ = Clock::now();
            holder_.give_back([this] { part_done(); });
        });
    }

    // The next round begins when the holder and the waiter have both returned.
    void part_done() {
        if (++parts_done_ % 2 == 0) next_round();
    }

    static void taken() { throw std::runtime_error("somebody else uses the pool"); }

    boost::asio::io_context io_{1};
    Borrower holder_;
    Borrower waiter_;
    boost::asio::steady_timer timer_;
    int rounds_;
    int parts_done_ = 0;
    Clock::time_point returned_;
    Samples samples_;
};

/// What the operating system says of the server's process.
class Process {
  public:
    explicit Process(int id) : folder_("/proc/" + std::to_string(id)) {}

    double resident_kilobytes() const {
        std::ifstream status(folder_ + "/status");
        std::string word;
        double size = 0;
        while (status >> word) {
            if (word == "VmRSS:" && status >> size) return size;
        }
        throw std::runtime_error("no resident size in " + folder_);
    }

    /// Seconds of processor time used so far.
    double processor_time() const {
        std::ifstream stat(folder_ + "/stat");
        stat.ignore(std::numeric_limits<std::streamsize>::max(), ')');
        std::string skipped;
        for (int i = 0; i < 11; ++i)
            stat >> skipped;
        double user = 0;
        double system = 0;
        if (!(stat >> user >> system)) throw std::runtime_error("no processor time in " + folder_);
        return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
    }

  private:
    std::string folder_;
};

// ---- register: very many pools -----------------------------------------------------------------------

/// Registers new pools of one slot over 64 connections, and writes their ids to a file, one per line.
class Registration {
  public:
    Registration(const Target& target, int count, int server_process)
        : target_(target), left_(count), count_(count), server_(server_process) {}

    void run(const std::string& file) {
        const double before = server_.resident_kilobytes();
        for (int i = 0; i < 64; ++i) {
            clients_.push_back(std::make_unique<Connection>(io_, target_.endpoint(), target_.with_tls));
            next(*clients_.back());
        }
        run_within(io_, 120s);
        std::ofstream(file) << ids_;
        report("kilobytes_per_pool", (server_.resident_kilobytes() - before) / count_);
    }

  private:
    void next(Connection& client) {
        if (left_-- <= 0) return;
        const std::string id = PoolId::random().str();
        ids_ += id + "\n";
        client.call("PUT", "/l/" + id, wire::to_json(wire::RegisterRequest{1}),
                    [this, &client](Answer answer) {
                        if (answer.status != 200) refuse("register", answer);
                        next(client);
                    });
    }

    const Target& target_;
    int left_;
    int count_;
    Process server_;
    boost::asio::io_context io_{1};
    std::vector<std::unique_ptr<Connection>> clients_;
    std::string ids_;
};

std::vector<std::string> lines_of(const std::string& file) {
    std::ifstream in(file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    if (lines.empty()) throw std::runtime_error("no pools in " + file);
    return lines;
}

// ---- crowd: very many waiters on a pool of one slot --------------------------------------------------

class Crowd {
  public:
    Crowd(const Target& target, int size, int server_process)
        : target_(target), size_(size), server_(server_process), holder_(io_, target) {}

    void run() {
        const double before = server_.resident_kilobytes();
        holder_.borrow(
            0s, [] {}, taken);
        pause(100ms);
        for (int place = 0; place < size_; ++place) {
            waiters_.push_back(std::make_unique<Borrower>(io_, target_));
        }
        queue();
        pause(1s);
        report("kilobytes_per_waiter", (server_.resident_kilobytes() - before) / size_);
        const double used = server_.processor_time();
        pause(5s);
        report("idle_percent", (server_.processor_time() - used) / 5 * 100);

        released_ = Clock::now();
        holder_.give_back([] {});
        run_within(io_, 250s);
        if (served_ != size_) throw std::runtime_error("only " + std::to_string(served_) + " were served");
        report("served_seconds", std::chrono::duration<double>(Clock::now() - released_).count());
        report("out_of_order", out_of_order_);
    }

  private:
    // Which of those that come at almost the same time the server's threads read first is open; so groups
    // come one after the other, and whoever is in a later group must be served later.
    void queue() {
        for (int place = 0; place < size_; ++place) {
            waiters_[static_cast<std::size_t>(place)]->borrow(
                300s, [this, place] { serve(place); }, taken);
            if ((place + 1) % group_size == 0) pause(20ms);
        }
    }

    // There is one slot: nobody is served before the one before has returned, so that the order in which
    // answers come in is the order in which they were given.
    void serve(int place) {
        const int group = place / group_size;
        if (group < latest_group_) ++out_of_order_;
        latest_group_ = std::max(latest_group_, group);
        ++served_;
        waiters_[static_cast<std::size_t>(place)]->give_back([] {});
    }

    void pause(Clock::duration time) {
        bool over = false;
        boost::asio::steady_timer timer(io_, time);
        timer.async_wait([&over](const boost::system::error_code&) { over = true; });
        io_.restart();
        while (!over)
            io_.run_one();
    }

    static void taken() { throw std::runtime_error("a waiter got no slot"); }

    static constexpr int group_size = 100;

    Target target_;
    int size_;
    Process server_;
    boost::asio::io_context io_{1};
    Borrower holder_;
    std::vector<std::unique_ptr<Borrower>> waiters_;
    Clock::time_point released_;
    int served_ = 0;
    int latest_group_ = 0;
    int out_of_order_ = 0;
};

/// A port of the loopback interface that nobody listens on now.
unsigned short free_port() {
    boost::asio::io_context io;
    return tcp::acceptor(io, {boost::asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

int run(int argc, char** argv) {
    CLI::App app("Load for script/bench");
    app.require_subcommand(1);
    Target target;
    int count = 1;
    double wait = 0;
    double seconds = 1;
    int process = 0;
    std::string folder;
    std::vector<std::string> words;
    const auto of_pool = [&](const char* name, const char* what) {
        auto* mode = app.add_subcommand(name, what);
        mode->add_option("--port", target.ports, "of one server, or of several that share a store")
            ->required();
        mode->add_option("--pool", target.pools);
        mode->add_flag("--tls", target.with_tls, "the servers speak TLS");
        mode->add_option("--count", count, "how many clients, rounds or waiters")->required();
        return mode;
    };

    auto* pairs = of_pool("pairs", "clients that borrow and return without a pause");
    pairs->add_option("--wait", wait, "seconds that a borrow may wait");
    pairs->add_option("--seconds", seconds);
    pairs->add_option("--pools", folder, "a file with the pools to use, instead of --pool");
    pairs->callback([&] {
        if (!folder.empty()) target.pools = lines_of(folder);
        run_pairs(target, count, from_seconds(wait), from_seconds(seconds));
    });

    auto* wake = of_pool("wake", "from a return to the waiter's answer");
    wake->callback([&] { Wake(target, count).run(); });

    auto* crowd = of_pool("crowd", "many waiters on a pool of one slot");
    crowd->add_option("--process", process, "the server's process id")->required();
    crowd->callback([&] { Crowd(target, count, process).run(); });

    auto* registration = app.add_subcommand("register", "register very many pools");
    registration->add_option("--port", target.ports)->required()->expected(1);
    registration->add_option("--count", count, "how many")->required();
    registration->add_option("--process", process, "the server's process id")->required();
    registration->add_option("file", folder, "where to write their ids")->required();
    registration->callback([&] { Registration(target, count, process).run(folder); });

    auto* disk = app.add_subcommand("disk", "a lone fdatasync");
    disk->add_option("folder", folder)->required();
    disk->callback([&] { measure_disk(folder, 300); });

    app.add_subcommand("loopback", "a round trip over TCP")->callback([] { measure_loopback(10'000); });

    auto* hand_off = app.add_subcommand("hand-off", "what a return to the waiter's answer takes at least");
    hand_off->add_option("folder", folder)->required();
    hand_off->add_option("--count", count, "how many rounds")->required();
    hand_off->callback([&] { measure_hand_off(folder, count); });

    auto* redis = app.add_subcommand("redis", "a lone write to a Redis");
    redis->add_option("--port", target.ports)->required()->expected(1);
    redis->callback([&] { measure_redis(target.endpoint().port(), 300); });

    auto* time = app.add_subcommand("time", "how long commands take that are run in turn");
    time->add_option("--count", count, "how many runs of each")->required();
    time->add_option("commands", words, "NAME COMMAND... [, NAME COMMAND...]...")->required();
    time->callback([&] { measure_commands(words, count); });

    app.add_subcommand("port", "print a free port")->callback([] { std::printf("%d", free_port()); });

    CLI11_PARSE(app, argc, argv);
    std::puts("");
    return 0;
}

}  // namespace
}  // namespace sema::bench

int main(int argc, char** argv) {
    try {
        return sema::bench::run(argc, argv);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "sema_load: %s\n", failure.what());
        return 1;
    }
}
