#include "tests/e2e/history.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
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

/// Adds to what was tried with a lease what was tried with another of its id, and may have met it.
void add_attempts(const Holding& other, Holding& holding) {
    for (Attempt attempt : other.attempts) {
        if (attempt.answered <= holding.asked || attempt.asked >= holding.answered ||
            attempt.outcome == Outcome::no)
            continue;
        attempt.outcome = Outcome::unknown;
        holding.attempts.push_back(attempt);
    }
    std::stable_sort(holding.attempts.begin(), holding.attempts.end(),
                     [](const Attempt& a, const Attempt& b) { return a.asked < b.asked; });
}

/// What a borrow was answered may have been granted to a stray one before it was sent.
void mark_strays(History& history) {
    const std::vector<Holding> before = history.holdings;
    for (std::size_t i = 0; i < before.size(); ++i) {
        Holding& holding = history.holdings[i];
        bool may_be_strays = false;
        for (const Stray& stray : history.strays) {
            if (stray.pool != holding.pool || stray.lease != holding.lease) continue;
            if (stray.until > holding.answered)
                holding.strayed_at = std::min(stray.asked, holding.strayed_at.value_or(Moment::max()));
            if (stray.asked >= holding.answered) continue;
            may_be_strays = true;
            holding.asked = std::min(holding.asked, stray.asked);
        }
        for (std::size_t j = 0; may_be_strays && j < before.size(); ++j) {
            if (j != i && before[j].pool == holding.pool && before[j].lease == holding.lease)
                add_attempts(before[j], holding);
        }
    }
}

/// Whether the attempt may have met another lease of the same id, if this one was over.
bool may_meet_another(const Holding& holding, const Attempt& attempt) {
    return holding.strayed_at && *holding.strayed_at < attempt.answered;
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
    explicit Life(const Holding& lease)
        : holding(lease), earliest_end(lease.asked + lease.ttl), latest_end(lease.answered + lease.ttl) {}

    void keepalive(const Attempt& attempt) {
        const Moment earliest = attempt.asked + attempt.ttl;
        const Moment latest = attempt.answered + attempt.ttl;
        const bool is_of_this = attempt.answered <= earliest_end || !may_meet_another(holding, attempt);
        if (attempt.outcome == Outcome::yes && is_of_this) {
            earliest_end = earliest;
            latest_end = latest;
        } else if (attempt.outcome != Outcome::no) {
            earliest_end = std::min(earliest_end, earliest);
            latest_end = std::max(latest_end, latest);
        }
    }

    const Holding& holding;
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
        const bool is_found = attempt.outcome == Outcome::yes && !may_meet_another(holding, attempt);
        if (is_found && has_ended) found.push_back(done + " after its end: " + describe(holding));
        if (is_found && attempt.asked > life.latest_end + lateness)
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
                return attempt.outcome == Outcome::yes && attempt.asked > revocation.answered &&
                       !may_meet_another(holding, attempt);
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

/// One line of a kept history, which is sorted by the first time in it.
using Line = std::pair<Moment, std::string>;

std::string time_of(Moment time) {
    return time == Moment::min() ? "-" : time == Moment::max() ? "..." : std::to_string(time.count());
}

Line line(Moment from, Moment until, const std::string& text) {
    return {from, time_of(from) + ' ' + time_of(until) + ' ' + text};
}

const char* name_of(Outcome outcome) {
    return outcome == Outcome::yes ? "yes" : outcome == Outcome::no ? "no" : "unknown";
}

std::string slots_of(std::size_t pool, const std::vector<int>& positions, std::optional<std::int64_t> fence) {
    std::string text = "pool " + std::to_string(pool) + " position";
    for (const int position : positions)
        text += ' ' + std::to_string(position);
    return fence ? text + " fence " + std::to_string(*fence) : text;
}

void add_lines(const Holding& holding, std::vector<Line>& lines) {
    const std::string lease = ' ' + holding.lease + ' ';
    lines.push_back(line(holding.asked, holding.answered,
                         (holding.chosen ? "borrow, id chosen" : "borrow") + lease + "ttl " +
                             std::to_string(holding.ttl.count()) + ' ' +
                             slots_of(holding.pool, holding.positions, holding.fence)));
    for (const Attempt& attempt : holding.attempts) {
        const bool is_return = attempt.kind == Kind::give_back;
        lines.push_back(
            line(attempt.asked, attempt.answered,
                 (is_return ? "return" + lease
                            : "keepalive" + lease + "ttl " + std::to_string(attempt.ttl.count()) + ' ') +
                     name_of(attempt.outcome)));
    }
    for (const Repeat& repeat : holding.repeats) {
        lines.push_back(
            line(repeat.asked, repeat.answered,
                 "borrow again" + lease + slots_of(holding.pool, repeat.positions, repeat.fence)));
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

std::string to_text(const History& history) {
    std::vector<Line> lines;
    for (std::size_t pool = 0; pool < history.counts.size(); ++pool) {
        for (const CountSpan& span : history.counts[pool])
            lines.push_back(line(span.from, span.until,
                                 "count of pool " + std::to_string(pool) + ' ' + std::to_string(span.count)));
    }
    for (const Holding& holding : history.holdings)
        add_lines(holding, lines);
    for (const Revocation& revocation : history.revocations) {
        lines.push_back(line(revocation.asked, revocation.answered,
                             "revoke " + slots_of(revocation.pool, {revocation.position}, {}) + ' ' +
                                 name_of(revocation.outcome)));
    }
    for (const Stray& stray : history.strays)
        lines.push_back(line(
            stray.asked, stray.until,
            "borrow without an answer, id chosen " + stray.lease + " pool " + std::to_string(stray.pool)));
    std::stable_sort(lines.begin(), lines.end(),
                     [](const Line& a, const Line& b) { return a.first < b.first; });
    std::string text;
    for (const auto& [at, content] : lines)
        text += content + '\n';
    return text;
}

std::string keep(const std::string& name, const std::string& text) {
    const char* wanted = std::getenv("SEMA_TEST_ARTIFACTS");
    const std::filesystem::path folder = wanted != nullptr && *wanted != '\0' ? wanted : HISTORIES_FOLDER;
    const std::filesystem::path path = folder / name;
    std::error_code ignored;
    std::filesystem::create_directories(folder, ignored);
    std::ofstream file(path);
    file << text;
    file.close();
    return (file ? "" : "not written: ") + path.string();
}

std::vector<std::string> breaches(History history) {
    mark_strays(history);
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
