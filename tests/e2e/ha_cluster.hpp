#pragma once

#include "tests/e2e/waits.hpp"
#include "tests/e2e/wrong_clock.hpp"
#include "tests/support/network.hpp"
#include "tests/support/postgresql_server.hpp"
#include "tests/support/proxy.hpp"
#include "tests/support/redis_server.hpp"
#include "tests/support/sentinel_set.hpp"

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace sema::test {

/// What a cluster's semads share.
enum class StoreKind {
    single,    ///< one server, with every write on its disk before it is answered
    sentinel,  ///< one and two replicas, of which a write reaches one before it is answered, and three
               ///< sentinels
};

/// In which directions something is cut: what a semad asks, what the store answers, or both.
enum class Cut { both, questions, answers };

struct ClusterOptions {
    StoreKind kind = StoreKind::single;
    /// `redis` or `valkey`; `postgresql` for a single one.
    std::string engine = "redis";
    /// On how many replicas a write is before it is answered, under Sentinel.
    unsigned wait_replicas = 0;
    /// How long a machine of the store is silent before another takes its place, under Sentinel.
    std::chrono::milliseconds replaced_after{700};
    /// Added to each semad's command line.
    std::vector<std::string> semad_options{};
    /// Added to the environment of a single store.
    std::map<std::string, std::string> store_environment{};
};

/// Where a server's clients find it.
struct Reached {
    std::string host;
    int port = 0;
};

/// Three semads over one store, each of them and each machine of the store in a network namespace of its own.
/// Where no such can be made, all are on the loopback interface, and proxies stand between the semads and
/// their clients, and between them and a single store.
///
/// What goes wrong is done to it by one thread; any may read `faults()` and the addresses.
class Cluster {
  public:
    static constexpr std::size_t size = 3;

    explicit Cluster(ClusterOptions options);
    ~Cluster();

    /// How the machines are kept apart, for people.
    const std::string& description() const { return description_; }
    Reached reached_at(std::size_t server) const;
    /// Grows whenever connections to the server are to be given up.
    unsigned incarnation(std::size_t server) const { return servers_[server].incarnation; }

    /// Ends a semad as a crash does; it stays down until it is to start.
    void kill(std::size_t server);
    void start(std::size_t server);
    void pause(std::size_t server);
    void resume(std::size_t server);
    /// Between a semad and its store. With several machines of the store, from all or from one.
    void cut_off(std::size_t server, const std::vector<std::size_t>& machines, Cut cut);
    void mend(std::size_t server);
    /// A semad from everybody.
    void isolate(std::size_t server);
    void rejoin(std::size_t server);

    /// Whether the semad runs since that long, and nothing is wrong with it.
    bool is_well(std::size_t server, Moment for_long) const;

    std::size_t machines() const { return options_.kind == StoreKind::single ? 1 : 3; }
    /// The machine that has the store's primary; 0 where nobody knows.
    std::size_t primary() const;
    void kill_store(std::size_t machine);
    /// Whether the other machines of the store go on without that one, and all that are left know it.
    bool goes_on_without(std::size_t machine) const;
    void start_store(std::size_t machine);
    void pause_store(std::size_t machine);
    void resume_store(std::size_t machine);
    bool can_isolate_store() const { return network_ != nullptr || options_.kind == StoreKind::single; }
    bool can_cut_off() const { return can_isolate_store(); }
    void isolate_store(std::size_t machine);
    void rejoin_store(std::size_t machine);
    /// A step of the store's wall clock, which is `clock`.
    void step_store_clock(const WrongClock& clock, std::chrono::seconds to);
    /// Whether the store is whole: all of its machines take part.
    bool is_store_whole() const;

    /// Starts again what ended by itself, and notes what is up by now. To be called often.
    void tick();
    /// Whether each semad says that it is ready.
    bool all_ready() const;

    /// What went wrong when, up to now. REQUIRES: nobody does anything to the cluster meanwhile.
    void tell_faults(Account& account) const;
    /// Semads that ended though nobody killed them, and what they wrote.
    const std::vector<std::string>& surprises() const { return surprises_; }
    /// What the semads wrote since their last start.
    std::string logs() const;

  private:
    struct Server {
        std::unique_ptr<Program> program;
        bool is_wanted = false;
        bool was_up = false;
        Moment started{};
        std::atomic<unsigned> incarnation{0};
        std::vector<Fault> unanswering;
        std::vector<Fault> cut_off;
        /// Which of them are going on, where something of that kind is.
        std::size_t down = 0;
        std::size_t halted = 0;
        std::size_t isolated = 0;
        std::size_t without_store = 0;
        /// From which machine of the network to which nothing arrives.
        std::vector<std::pair<std::size_t, std::size_t>> cuts;
    };

    void launch(Server& server);
    std::unique_ptr<StoreServer> make_store() const;
    std::vector<std::string> command_of(std::size_t server) const;
    /// Returns the number of what begins.
    static std::size_t begin(std::vector<Fault>& faults);
    static void end(Fault& fault);
    /// What was lost on its way meanwhile is sent again after as long a time as it took so far.
    static void end_late(Fault& fault);
    void store_fault_begins();
    void store_fault_ends(void (*as)(Fault&));

    ClusterOptions options_;
    std::string description_;
    std::unique_ptr<Network> network_;
    std::unique_ptr<StoreServer> store_;
    std::unique_ptr<SentinelSet> set_;
    std::array<std::unique_ptr<ReservedPort>, size> ports_;
    std::array<std::unique_ptr<Proxy>, size> client_proxies_;
    std::array<std::unique_ptr<Proxy>, size> store_proxies_;
    std::array<std::size_t, size> server_machines_{};
    std::vector<std::size_t> store_machines_;
    std::array<Server, size> servers_;
    std::vector<Fault> store_away_;
    bool is_store_out_ = false;
    std::vector<std::string> surprises_;
};

}  // namespace sema::test
