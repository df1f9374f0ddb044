#include "tests/callback/sender_bench.hpp"

#include <atomic>
#include <map>
#include <random>
#include <set>

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

/// What a receiver saw of a lease.
struct Seen {
    std::set<std::uint64_t> fences;
    std::set<std::string> ids;
    unsigned calls = 0;
    bool is_taken = false;
};

/// Borrowers that are called, and receivers of all kinds, while the server is killed again and again. A
/// receiver that takes a call gives the lease back some time later, as a job does.
class Chaos {
  public:
    explicit Chaos(std::uint32_t seed)
        : random_(seed), receiver_([this](const Receiver::Request& request) { return react(request); }) {}

    void run() {
        pool_ = bench_.made(2);
        std::vector<LeaseId> asked;
        for (int i = 0; i < 30; ++i) {
            const LeaseId lease = LeaseId::random();
            static const char* const kinds[] = {"/ok",     "/flaky", "/slow", "/gone",
                                                "/broken", "/cut",   "/hang"};
            const std::string url = receiver_.url(kinds[pick(7)]);
            const Answer answer = bench_.ask(pool_, lease, url, 400ms + 1ms * pick(400));
            if (std::holds_alternative<CallbackQueued>(answer)) asked.push_back(lease);
            if (pick(6) == 0) restart();
            finish_jobs();
            look();
        }
        REQUIRE(eventually([&] {
            if (pick(40) == 0) restart();
            finish_jobs();
            look();
            const auto view = bench_.view(pool_);
            return view->queue.empty() && view->leases.empty();
        }));
        judge(asked);
    }

  private:
    unsigned pick(unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random_); }

    void restart() {
        bench_.kill();
        if (pick(2) == 0) bench_.faults->fail_commits(pick(3));
        bench_.start();
    }

    std::optional<std::string> react(const Receiver::Request& request) {
        const auto grant = wire::parse_lease_grant(request.body).value();
        const std::lock_guard lock(mutex_);
        Seen& seen = seen_[grant.lease];
        seen.fences.insert(grant.details.value().fence);
        seen.ids.insert(request.headers.at("webhook-id"));
        ++seen.calls;
        if (request.target == "/gone") return Receiver::answer(410);
        if (request.target == "/broken") return Receiver::answer(500);
        if (request.target == "/cut") return "";
        if (request.target == "/hang") return std::nullopt;
        if (request.target == "/flaky" && seen.calls % 3 != 0) return Receiver::answer(503);
        seen.is_taken = true;
        jobs_.push_back(grant.lease);
        return Receiver::answer(request.target == "/slow" ? 202 : 200);
    }

    /// Some of the jobs that were started give their leases back.
    void finish_jobs() {
        std::vector<LeaseId> done;
        {
            const std::lock_guard lock(mutex_);
            if (pick(2) == 0) done.swap(jobs_);
        }
        for (const LeaseId& lease : done)
            bench_.gives_back(pool_, lease);
    }

    /// At no time are there more leases than slots, nor a lease that is older than its ttl.
    void look() {
        const auto view = bench_.view(pool_);
        REQUIRE(view->in_use <= view->count);
        for (const Lease& lease : view->leases)
            REQUIRE(lease.expires_at - lease.granted_at <= 800ms);
    }

    void judge(const std::vector<LeaseId>& asked) {
        const std::lock_guard lock(mutex_);
        std::uint64_t last = 0;
        for (const LeaseId& lease : asked) {
            const auto found = seen_.find(lease);
            // The server may have been down for all of its lease.
            if (found == seen_.end()) continue;
            const Seen& seen = found->second;
            // One lease for one callback, however often it was told.
            REQUIRE(seen.fences.size() == 1);
            REQUIRE(seen.ids.size() == 1);
            // In their turn.
            REQUIRE(*seen.fences.begin() > last);
            last = *seen.fences.begin();
        }
    }

    std::minstd_rand random_;
    std::mutex mutex_;
    std::map<LeaseId, Seen> seen_;
    std::vector<LeaseId> jobs_;
    PoolId pool_;
    // The bench's sender calls it.
    Receiver receiver_;
    SenderBench bench_;
};

}  // namespace

TEST_CASE(
    "whatever receivers do and whenever the server dies, each callback has one lease, and none for too "
    "long") {
    const std::uint32_t seed = std::random_device{}();
    for (std::uint32_t run = 0; run < 2; ++run) {
        INFO("seed " << seed + run);
        Chaos chaos(seed + run);
        chaos.run();
    }
}
