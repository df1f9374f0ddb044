#include "client/upkeep.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>

// The promise that an outage of up to half of the ttl harms no command, by arithmetic: the server is a
// function of the time.

using namespace sema;
using namespace std::chrono_literals;

namespace {

constexpr Moment start{1000s};

/// What becomes of a call while the server is away.
enum class Loss {
    refused,  ///< it fails at once, and one that is under way is cut
    silent,   ///< nothing comes of it until its time is over, even if the server is back before
};

struct Server {
    Moment away_from;
    Moment away_until;
    Loss loss;
    /// How long an answer takes.
    Duration takes;

    struct Answer {
        Moment at;
        bool is_renewal;
    };
    Answer answer(Moment asked, Duration limit) const {
        const Moment done = asked + takes;
        const bool is_lost = done > away_from && asked < away_until;
        if (!is_lost && takes <= limit) return {done, true};
        if (!is_lost || loss == Loss::silent) return {asked + limit, false};
        return {std::clamp(away_from, asked + 1ms, asked + limit), false};
    }
};

struct Job {
    Duration ttl;
    Duration grace;
    /// How long before the grant was known the lease may have begun.
    Duration transit{};
    /// How long after it wanted to, semactl comes to act, as on a busy machine.
    Duration late{};
};

// Whether the command lives to see the lease renewed after the outage.
bool survives(const Job& job, const Server& server) {
    const LeaseTerm term{start - job.transit + job.ttl, job.ttl};
    Upkeep upkeep(term, {job.grace, job.ttl});
    for (Moment now = start;;) {
        if (upkeep.due(now) != Upkeep::Step::none) return false;
        if (!upkeep.is_keepalive_due(now)) {
            now = upkeep.next_deadline(now) + job.late;
            continue;
        }
        const Moment asked = now;
        const auto answer = server.answer(asked, upkeep.begin_keepalive(asked));
        now = answer.at;
        if (upkeep.due(now) != Upkeep::Step::none) return false;
        if (answer.is_renewal)
            upkeep.renewed(whole_seconds(job.ttl));
        else
            upkeep.failed(now);
        if (answer.is_renewal && asked >= server.away_until) return true;
    }
}

// The outages of that length, of those that begin at any time in a lease, that stop the command.
int deaths(const Job& job, Duration outage, Loss loss, Duration takes) {
    int deaths = 0;
    constexpr int steps = 200;
    for (int i = 0; i < steps; ++i) {
        const Moment begin = start + job.ttl * i / steps;
        if (!survives(job, {begin, begin + outage, loss, takes})) ++deaths;
    }
    return deaths;
}

}  // namespace

TEST_CASE("an outage of half of the ttl harms no command, whenever it begins") {
    for (const Duration ttl :
         {3000ms, 4000ms, 6000ms, 10'000ms, 12'000ms, 20'000ms, 60'000ms, 3'600'000ms, 86'400'000ms}) {
        for (const Duration grace : {Duration(0s), Duration(1s), Duration(5s), longest_duration}) {
            for (const Duration takes : {Duration(1ms), std::min<Duration>(ttl / 100, 300ms)}) {
                for (const Loss loss : {Loss::refused, Loss::silent}) {
                    CAPTURE(ttl / 1ms, grace / 1ms, takes / 1ms, loss == Loss::silent);
                    CHECK(deaths({ttl, grace}, ttl / 2, loss, takes) == 0);
                    // A grant that was waited for counts from shortly before it came.
                    const Duration transit = std::min<Duration>(ttl / 10, 1s);
                    CHECK(deaths({ttl, grace, transit}, ttl / 2, loss, takes) == 0);
                }
            }
        }
    }
}

TEST_CASE("an outage of half of a short ttl harms no command either where semactl acts 80 ms late") {
    for (const Duration ttl : {3s, 4s, 6s, 10s}) {
        for (const Loss loss : {Loss::refused, Loss::silent}) {
            CAPTURE(ttl / 1ms, loss == Loss::silent);
            CHECK(deaths({ttl, 5s, 0s, 80ms}, ttl / 2, loss, 10ms) == 0);
        }
    }
}

TEST_CASE("an outage of more than the ttl allows stops the command, whenever it begins") {
    for (const Duration ttl : {3s, 6s, 60s})
        CHECK(deaths({ttl, 5s}, ttl, Loss::refused, 1ms) == 200);
}

TEST_CASE("with the usual ttl of 60 s an outage of 42 s harms no command, and one of 54 s not every one") {
    CHECK(deaths({60s, 5s}, 42s - 100ms, Loss::refused, 1ms) == 0);
    const int stopped = deaths({60s, 5s}, 53s, Loss::refused, 1ms);
    CHECK(stopped > 0);
    CHECK(stopped < 200);
}
