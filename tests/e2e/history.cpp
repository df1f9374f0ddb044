#include "tests/e2e/history.hpp"

#include <algorithm>
#include <ctime>
#include <map>
#include <utility>

namespace sema::test {
namespace {

using Kind = Attempt::Kind;

std::string describe(const Holding& holding) {
    std::string text = "position";
    for (const int position : holding.positions)
        text += ' ' + std::to_string(position);
    text += " of pool " + std::to_string(holding.pool) + " by " + holding.lease + " [" +
            std::to_string(holding.certain_from().count()) + ", " +
            std::to_string(holding.certain_until().count()) + ")";
    if (holding.fence) text += " with fence " + std::to_string(*holding.fence);
    return text;
}

bool ever_certain(const Holding& holding) {
    return holding.certain_from() < holding.certain_until();
}

bool has_position(const Holding& holding, int position) {
    return std::count(holding.positions.begin(), holding.positions.end(), position) != 0;
}

int slots(const Holding& holding) {
    return static_cast<int>(holding.positions.size());
}

/// The largest size that the pool can have had at some time from `from` to `until`.
int largest_count(const History& history, std::size_t pool, Moment from, Moment until) {
    int largest = 0;
    for (const CountSpan& span : history.counts.at(pool)) {
        if (span.from <= until && from <= span.until) largest = std::max(largest, span.count);
    }
    return largest;
}

bool may_meet(const Revocation& revocation, const Holding& holding) {
    return revocation.outcome != Outcome::no && revocation.pool == holding.pool &&
           has_position(holding, revocation.position) && revocation.answered > holding.asked;
}

void mark_revocations(History& history) {
    for (Holding& holding : history.holdings) {
        for (const Revocation& revocation : history.revocations) {
            if (!may_meet(revocation, holding)) continue;
            holding.revoked_at = std::min(revocation.asked, holding.revoked_at.value_or(Moment::max()));
        }
    }
}

/// Finds pairs of these that are certain to live at the same time.
void find_overlaps(std::vector<const Holding*> holdings, const std::string& kind,
                   std::vector<std::string>& found) {
    std::sort(holdings.begin(), holdings.end(),
              [](const Holding* a, const Holding* b) { return a->certain_from() < b->certain_from(); });
    // Not only neighbours: a long holding may overlap several later ones.
    const Holding* longest = nullptr;
    for (const Holding* holding : holdings) {
        if (longest && holding->certain_from() < longest->certain_until())
            found.push_back(kind + ": " + describe(*longest) + " and " + describe(*holding));
        if (!longest || holding->certain_until() > longest->certain_until()) longest = holding;
    }
}

void find_shared_positions(const History& history, std::vector<std::string>& found) {
    std::map<std::pair<std::size_t, int>, std::vector<const Holding*>> by_slot;
    for (const Holding& holding : history.holdings) {
        if (!ever_certain(holding)) continue;
        for (const int position : holding.positions)
            by_slot[{holding.pool, position}].push_back(&holding);
    }
    for (const auto& [slot, holdings] : by_slot)
        find_overlaps(holdings, "two holders", found);
}

void find_shared_names(const History& history, std::vector<std::string>& found) {
    std::map<std::string, std::vector<const Holding*>> by_name;
    for (const Holding& holding : history.holdings)
        by_name[holding.lease].push_back(&holding);
    for (auto& [name, holdings] : by_name) {
        if (holdings.size() == 1) continue;
        if (!std::all_of(holdings.begin(), holdings.end(), [](const Holding* it) { return it->chosen; })) {
            found.push_back("two leases of one name: " + describe(*holdings.back()));
            continue;
        }
        holdings.erase(std::remove_if(holdings.begin(), holdings.end(),
                                      [](const Holding* it) { return !ever_certain(*it); }),
                       holdings.end());
        find_overlaps(std::move(holdings), "two leases of one name", found);
    }
}

void find_excess(const History& history, std::vector<std::string>& found) {
    for (std::size_t pool = 0; pool < history.counts.size(); ++pool) {
        // An end sorts before a beginning at the same moment.
        std::vector<std::pair<Moment, int>> steps;
        for (const Holding& holding : history.holdings) {
            if (holding.pool != pool || !ever_certain(holding)) continue;
            steps.emplace_back(holding.certain_from(), slots(holding));
            steps.emplace_back(holding.certain_until(), -slots(holding));
        }
        std::sort(steps.begin(), steps.end());
        int held = 0;
        int most = 0;
        for (const auto& [at, step] : steps)
            most = std::max(most, held += step);
        const int count = largest_count(history, pool, Moment::min(), Moment::max());
        if (most > count) {
            found.push_back("pool " + std::to_string(pool) + " had holders of " + std::to_string(most) +
                            " slots of its " + std::to_string(count));
        }
    }
}

/// A pool that was made smaller may have more holders than slots, but grants nothing meanwhile.
void find_excess_at_grant(const History& history, const Holding& holding, std::vector<std::string>& found) {
    const int count = largest_count(history, holding.pool, holding.asked, holding.answered);
    for (const int position : holding.positions) {
        if (position < 0 || position >= count) {
            found.push_back("no such position: " + describe(holding));
            break;
        }
    }
    int held = slots(holding);
    for (const Holding& other : history.holdings) {
        if (&other != &holding && other.pool == holding.pool && other.certain_from() <= holding.asked &&
            holding.answered <= other.certain_until())
            held += slots(other);
    }
    if (held > count)
        found.push_back("granted beyond a count of " + std::to_string(count) + ": " + describe(holding));
}

void find_bad_positions(const Holding& holding, std::vector<std::string>& found) {
    const bool ascends = std::adjacent_find(holding.positions.begin(), holding.positions.end(),
                                            [](int a, int b) { return a >= b; }) == holding.positions.end();
    if (holding.positions.empty() || !ascends) found.push_back("no such positions: " + describe(holding));
}

/// What is known of a lease's end as one goes through what was tried with it.
struct Life {
    explicit Life(const Holding& holding)
        : earliest_end(holding.asked + holding.ttl), latest_end(holding.answered + holding.ttl) {}

    void keepalive(const Attempt& attempt) {
        const Moment earliest = attempt.asked + attempt.ttl;
        const Moment latest = attempt.answered + attempt.ttl;
        if (attempt.outcome == Outcome::yes) {
            earliest_end = earliest;
            latest_end = latest;
        } else if (attempt.outcome == Outcome::unknown) {
            earliest_end = std::min(earliest_end, earliest);
            latest_end = std::max(latest_end, latest);
        }
    }

    Moment earliest_end;
    Moment latest_end;
};

void find_bad_attempts(const Holding& holding, Moment lateness, std::vector<std::string>& found) {
    Life life(holding);
    bool may_be_returned = false;
    bool has_ended = false;
    for (const Attempt& attempt : holding.attempts) {
        const bool is_return = attempt.kind == Kind::give_back;
        const std::string done = is_return ? "returned" : "kept alive";
        const bool may_be_revoked = holding.revoked_at && *holding.revoked_at < attempt.answered;
        if (attempt.outcome == Outcome::no && !may_be_returned && !may_be_revoked &&
            attempt.answered < life.earliest_end)
            found.push_back("lost before its time: " + describe(holding));
        if (attempt.outcome == Outcome::yes && has_ended)
            found.push_back(done + " after its end: " + describe(holding));
        if (attempt.outcome == Outcome::yes && attempt.asked > life.latest_end + lateness)
            found.push_back(done + " after its time: " + describe(holding));
        if (!is_return) life.keepalive(attempt);
        if (is_return && attempt.outcome != Outcome::no) may_be_returned = true;
        if (attempt.outcome == Outcome::no || (is_return && attempt.outcome == Outcome::yes))
            has_ended = true;
    }
}

void find_bad_repeats(const Holding& holding, std::vector<std::string>& found) {
    for (const Repeat& repeat : holding.repeats) {
        const bool is_same = repeat.positions == holding.positions && repeat.fence == holding.fence;
        if (!is_same && repeat.answered < holding.certain_until())
            found.push_back("another lease for a repeated borrow: " + describe(holding));
    }
}

void find_bad_revocations(const History& history, const Revocation& revocation,
                          std::vector<std::string>& found) {
    for (const Holding& holding : history.holdings) {
        if (holding.pool != revocation.pool || !has_position(holding, revocation.position)) continue;
        if (revocation.outcome == Outcome::no && holding.certain_from() <= revocation.asked &&
            revocation.answered <= holding.certain_until())
            found.push_back("not found to be revoked: " + describe(holding));
        if (revocation.outcome != Outcome::yes || holding.answered > revocation.asked) continue;
        if (std::any_of(holding.attempts.begin(), holding.attempts.end(), [&](const Attempt& attempt) {
                return attempt.outcome == Outcome::yes && attempt.asked > revocation.answered;
            }))
            found.push_back("outlived its revocation: " + describe(holding));
    }
}

void find_low_fences(const History& history, std::vector<std::string>& found) {
    for (std::size_t pool = 0; pool < history.counts.size(); ++pool) {
        std::vector<const Holding*> by_answer;
        for (const Holding& holding : history.holdings) {
            if (holding.pool == pool && holding.fence) by_answer.push_back(&holding);
        }
        auto by_question = by_answer;
        std::sort(by_answer.begin(), by_answer.end(),
                  [](const Holding* a, const Holding* b) { return a->answered < b->answered; });
        std::sort(by_question.begin(), by_question.end(),
                  [](const Holding* a, const Holding* b) { return a->asked < b->asked; });
        std::map<std::int64_t, const Holding*> fences;
        const Holding* highest = nullptr;
        auto before = by_answer.begin();
        for (const Holding* holding : by_question) {
            for (; before != by_answer.end() && (*before)->answered < holding->asked; ++before) {
                if (!highest || *(*before)->fence > *highest->fence) highest = *before;
            }
            const auto [same, is_new] = fences.emplace(*holding->fence, holding);
            if (!is_new) {
                found.push_back("two leases of one fence: " + describe(*same->second) + " and " +
                                describe(*holding));
            } else if (highest && *highest->fence > *holding->fence) {
                found.push_back("a fence below an earlier one: " + describe(*highest) + " and " +
                                describe(*holding));
            }
        }
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
    Life life(*this);
    Moment end_asked = revoked_at.value_or(Moment::max());
    for (const Attempt& attempt : attempts) {
        if (attempt.kind == Kind::give_back) {
            end_asked = std::min(end_asked, attempt.asked);
        } else {
            life.keepalive(attempt);
        }
        // What is not held when the answer is given may not have been for a while.
        if (attempt.outcome == Outcome::no) break;
    }
    return std::min(life.earliest_end, end_asked);
}

std::vector<std::string> breaches(History history) {
    mark_revocations(history);
    std::vector<std::string> found;
    for (const Holding& holding : history.holdings) {
        find_bad_positions(holding, found);
        find_excess_at_grant(history, holding, found);
        find_bad_attempts(holding, history.lateness, found);
        find_bad_repeats(holding, found);
    }
    for (const Revocation& revocation : history.revocations)
        find_bad_revocations(history, revocation, found);
    find_shared_names(history, found);
    find_shared_positions(history, found);
    find_excess(history, found);
    find_low_fences(history, found);
    return found;
}

}  // namespace sema::test
