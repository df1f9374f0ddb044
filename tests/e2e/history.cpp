#include "tests/e2e/history.hpp"

#include <algorithm>
#include <ctime>
#include <map>
#include <set>
#include <utility>

namespace sema::test {
namespace {

using Outcome = ReturnAttempt::Outcome;

std::string describe(const Holding& holding) {
    return "position " + std::to_string(holding.position) + " of pool " + std::to_string(holding.pool) +
           " by " + holding.lease + " [" + std::to_string(holding.certain_from().count()) + ", " +
           std::to_string(holding.certain_until().count()) + ")";
}

bool ever_certain(const Holding& holding) {
    return holding.certain_from() < holding.certain_until();
}

void find_shared_positions(const History& history, std::vector<std::string>& found) {
    std::map<std::pair<std::size_t, int>, std::vector<const Holding*>> by_slot;
    for (const Holding& holding : history.holdings) {
        if (ever_certain(holding)) by_slot[{holding.pool, holding.position}].push_back(&holding);
    }
    for (auto& [slot, holdings] : by_slot) {
        std::sort(holdings.begin(), holdings.end(),
                  [](const Holding* a, const Holding* b) { return a->certain_from() < b->certain_from(); });
        // Not only neighbours: a long holding may overlap several later ones.
        const Holding* longest = nullptr;
        for (const Holding* holding : holdings) {
            if (longest && holding->certain_from() < longest->certain_until())
                found.push_back("two holders: " + describe(*longest) + " and " + describe(*holding));
            if (!longest || holding->certain_until() > longest->certain_until()) longest = holding;
        }
    }
}

void find_excess(const History& history, std::vector<std::string>& found) {
    for (std::size_t pool = 0; pool < history.counts.size(); ++pool) {
        // An end sorts before a beginning at the same moment.
        std::vector<std::pair<Moment, int>> steps;
        for (const Holding& holding : history.holdings) {
            if (holding.pool != pool || !ever_certain(holding)) continue;
            steps.emplace_back(holding.certain_from(), +1);
            steps.emplace_back(holding.certain_until(), -1);
        }
        std::sort(steps.begin(), steps.end());
        int holders = 0;
        int most = 0;
        for (const auto& [at, step] : steps)
            most = std::max(most, holders += step);
        if (most > history.counts[pool]) {
            found.push_back("pool " + std::to_string(pool) + " had " + std::to_string(most) +
                            " holders of its " + std::to_string(history.counts[pool]) + " slots");
        }
    }
}

void find_bad_returns(const Holding& holding, std::vector<std::string>& found) {
    bool may_be_returned = false;
    bool is_returned = false;
    for (const ReturnAttempt& attempt : holding.returns) {
        if (attempt.outcome == Outcome::no && !may_be_returned &&
            attempt.answered < holding.asked + holding.ttl)
            found.push_back("lost before its time: " + describe(holding));
        if (attempt.outcome == Outcome::yes && is_returned)
            found.push_back("returned twice: " + describe(holding));
        if (attempt.outcome == Outcome::yes && attempt.asked > holding.answered + holding.ttl)
            found.push_back("returned after its time: " + describe(holding));
        if (attempt.outcome != Outcome::no) may_be_returned = true;
        if (attempt.outcome == Outcome::yes) is_returned = true;
    }
}

}  // namespace

Moment boot_time() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return std::chrono::seconds(time.tv_sec) +
           std::chrono::duration_cast<Moment>(std::chrono::nanoseconds(time.tv_nsec));
}

Moment Holding::certain_until() const {
    const Moment expiry = asked + ttl;
    return returns.empty() ? expiry : std::min(expiry, returns.front().asked);
}

std::vector<std::string> breaches(const History& history) {
    std::vector<std::string> found;
    std::set<std::string> leases;
    for (const Holding& holding : history.holdings) {
        if (holding.position < 0 || holding.position >= history.counts.at(holding.pool))
            found.push_back("no such position: " + describe(holding));
        if (!leases.insert(holding.lease).second)
            found.push_back("two leases of one name: " + describe(holding));
        find_bad_returns(holding, found);
    }
    find_shared_positions(history, found);
    find_excess(history, found);
    return found;
}

}  // namespace sema::test
