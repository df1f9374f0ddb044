#include "tests/e2e/ha_pair.hpp"

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

// What a PostgreSQL with standbys keeps when its primary dies and a standby takes over, while clients borrow.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

struct Failover {
    /// How the primary waits for its standbys.
    std::string names;
    std::string commit = "on";
    unsigned standbys = 1;
};

std::string url_of(const std::vector<const PostgresqlServer*>& servers) {
    std::string hosts;
    for (const PostgresqlServer* server : servers)
        hosts += (hosts.empty() ? "127.0.0.1:" : ",127.0.0.1:") + std::to_string(server->port());
    return "postgresql://postgres@" + hosts + "/postgres";
}

/// The one that has received most.
PostgresqlServer& most_advanced(std::vector<std::unique_ptr<PostgresqlServer>>& standbys) {
    std::size_t best = 0;
    std::string most;
    for (std::size_t i = 0; i < standbys.size(); ++i) {
        const std::string received = standbys[i]
                                         ->query(
                                             "SELECT lpad(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), "
                                             "'0/0')::text, 20, '0')")
                                         .front();
        if (received <= most) continue;
        most = received;
        best = i;
    }
    return *standbys[best];
}

/// Borrows all through a failover: whatever was answered is held afterwards, and by nobody else.
void check_nothing_is_lost(const Failover& failover) {
    PostgresqlServer primary;
    std::vector<std::unique_ptr<PostgresqlServer>> standbys;
    std::vector<const PostgresqlServer*> all = {&primary};
    for (unsigned i = 0; i < failover.standbys; ++i) {
        PostgresqlOptions options;
        options.config = {"synchronous_standby_names = ''"};
        standbys.push_back(
            std::make_unique<PostgresqlServer>(primary, std::string(1, static_cast<char>('a' + i)), options));
        all.push_back(standbys.back().get());
    }
    primary.configure(
        {"synchronous_standby_names = '" + failover.names + "'", "synchronous_commit = " + failover.commit});
    REQUIRE(eventually([&] {
        return primary
                   .query("SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')")
                   .front() == std::to_string(failover.standbys);
    }));
    const RunningServer one(with_store(url_of(all)));
    const RunningServer other(with_store(url_of(all)));
    const TestPool pool(one, sema::PoolId::random().str());
    REQUIRE(eventually([&] { return pool.put(R"({"count":500})").status == 200; }));
    std::atomic<bool> over{false};
    std::atomic<int> answered{0};
    std::vector<std::vector<Slot>> held(4);
    std::vector<std::thread> clients;
    for (std::size_t i = 0; i < held.size(); ++i) {
        clients.emplace_back([&, i] {
            const TestPool through(i % 2 == 0 ? one : other, pool.id());
            while (!over && held[i].size() < 100) {
                const HttpResponse response = through.borrow(R"({"ttl":300})");
                if (response.status != 200) continue;
                held[i].push_back(granted(response));
                ++answered;
            }
        });
    }
    const bool began = eventually([&] { return answered >= 20; });
    primary.kill9();
    most_advanced(standbys).promote();
    const int before = answered;
    const bool goes_on = eventually([&] { return answered >= before + 20; });
    over = true;
    for (std::thread& client : clients)
        client.join();
    CHECK(began);
    CHECK(goes_on);
    REQUIRE(eventually([&] { return is_ready(one) && is_ready(other) && pool.get().status == 200; }));
    std::set<int> positions;
    for (const auto& slots : held) {
        for (const Slot& slot : slots) {
            CAPTURE(slot.position);
            CHECK(positions.insert(slot.position).second);
            CHECK(pool.renews(slot, 300));
        }
    }
}

}  // namespace

TEST_CASE("no lease is lost with a primary whose commits a standby has") {
    check_nothing_is_lost({.names = "a"});
}

TEST_CASE("no lease is lost with a primary whose commits a standby has applied") {
    check_nothing_is_lost({.names = "a", .commit = "remote_apply"});
}

TEST_CASE("no lease is lost with a primary whose commits two of three standbys have") {
    check_nothing_is_lost({.names = "ANY 2 (a, b, c)", .standbys = 3});
}

TEST_CASE("with synchronous_commit off a crash loses what was answered last, and nothing from before") {
    PostgresqlOptions options;
    // What is not written at a commit is written this much later, unless a page of the log is full, or a
    // changed page of a table goes first.
    options.config = {"synchronous_commit = off", "wal_writer_delay = 10s", "full_page_writes = off",
                      "bgwriter_lru_maxpages = 0"};
    PostgresqlServer postgresql(options);
    RunningServer server(with_store(postgresql.url()));
    CHECK(server.program().warns("those of the last second are lost in a crash"));
    const TestPool pool(server, 2);
    const Slot early = pool.take(600);
    // A commit that is written takes along all before it.
    postgresql.query("SET synchronous_commit = on; CREATE TABLE written ()");
    // Or a page was just full.
    constexpr int tries = 10;
    for (int i = 1; i <= tries; ++i) {
        CAPTURE(i);
        // One begins after each start, and would write what comes meanwhile.
        postgresql.query("CHECKPOINT");
        const Grant late = pool.take_with({{"ttl", 600}, {"lease", new_lease()}});
        REQUIRE(late.position == 1);
        postgresql.kill9();
        postgresql.start();
        REQUIRE(eventually([&] { return is_ready(server) && pool.get().status == 200; }));
        CHECK(pool.renews(early, 600));
        if (pool.in_use() == 2) {
            REQUIRE(i < tries);
            // The lease there may be that of an earlier try, whose return was lost.
            REQUIRE(pool.revokes(1));
            continue;
        }
        // The slot is lent anew, with a fence that tells both leases apart.
        const Grant again = pool.take_with({{"ttl", 600}, {"lease", new_lease()}});
        CHECK(again.position == 1);
        CHECK(again.fence > late.fence);
        return;
    }
}
