#include "tests/e2e/waits.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace sema::test {
namespace {

using namespace std::chrono_literals;

/// By this time a borrow that was answered 502 must have lost its slot.
constexpr Moment undone_within = 2s;
/// What a missed message costs at most.
constexpr Moment woken_within = 1s;
/// However short its wait is.
constexpr Moment told_of_failure_within = 1s;
/// After a fault it takes a moment until the server is counted among the present ones.
constexpr Moment recovery = 1s;

bool overlap(const std::vector<Fault>& faults, Moment from, Moment until) {
    return std::any_of(faults.begin(), faults.end(),
                       [&](const Fault& fault) { return fault.from <= until && from <= fault.until; });
}

std::string time_of(Moment from, Moment until) {
    return " [" + std::to_string(from.count()) + ", " + std::to_string(until.count()) + "]";
}

std::string describe(const Wait& wait) {
    std::string text = wait.name + " of pool " + std::to_string(wait.pool) + " on server " +
                       std::to_string(wait.server) + time_of(wait.asked, wait.answered);
    text += " with a wait of " + std::to_string(wait.allowed.count());
    switch (wait.answer) {
        case Answer::yes:
            return text + ", granted with fence " + std::to_string(wait.fence);
        case Answer::no:
            return text + ", refused";
        case Answer::failed:
            return text + ", told of a failure";
        case Answer::none:
            return text + ", told nothing";
    }
    return text;
}

class Judge {
  public:
    explicit Judge(const Account& account) : account_(account) {
        for (const Wait& wait : account_.waits)
            by_name_[wait.name] = &wait;
        for (const Sighting& sighting : account_.sightings) {
            for (const std::string& name : sighting.queue) {
                const auto known = queued_.emplace(name, sighting.answered).first;
                known->second = std::min(known->second, sighting.answered);
            }
        }
    }

    std::vector<std::string> found() {
        for (const Call& call : account_.calls)
            judge_time(
                call, "a call to server " + std::to_string(call.server) + time_of(call.asked, call.answered));
        for (const Wait& wait : account_.waits)
            judge_time(wait, describe(wait));
        find_overtakings();
        for (const Sighting& sighting : account_.sightings)
            find_undead(sighting);
        find_idle_slots();
        return found_;
    }

  private:
    /// Whether the server was well all that time, as its clients see it.
    bool answers(std::size_t server, Moment from, Moment until) const {
        return !overlap(account_.unanswering.at(server), from - recovery, until);
    }
    /// Whether it could moreover use the store.
    bool is_well(std::size_t server, Moment from, Moment until) const {
        return answers(server, from, until) && !overlap(account_.cut_off.at(server), from - recovery, until);
    }

    void judge_time(const Call& call, const std::string& what) {
        const Moment due = call.asked + std::max(call.allowed, told_of_failure_within) + account_.tolerance;
        if (!answers(call.server, call.asked, std::min(due, call.answered))) return;
        if (call.answered > due)
            found_.push_back("answered too late: " + what);
        else if (call.answer == Answer::none)
            found_.push_back("not answered at all: " + what);
    }

    /// Whether an earlier call for its lease, that a server took in late, may have taken its place over.
    static bool may_be_superseded(const Wait& wait) {
        return wait.answer == Answer::no && wait.answered < wait.asked + wait.allowed &&
               wait.first_asked.value_or(wait.asked) < wait.asked;
    }

    void find_overtakings() {
        for (const Wait& early : account_.waits) {
            const auto queued = queued_.find(early.name);
            if (queued == queued_.end()) continue;
            if (early.answer != Answer::yes && early.answer != Answer::no) continue;
            if (may_be_superseded(early)) continue;
            for (const Wait& late : account_.waits) {
                if (late.pool != early.pool || late.answer != Answer::yes || late.priority > early.priority ||
                    late.first_asked.value_or(late.asked) <= queued->second)
                    continue;
                // Who was refused waited at least until the time that it had allowed was over.
                const bool is_before = early.answer == Answer::yes
                                           ? late.fence < early.fence
                                           : late.answered < early.asked + early.allowed;
                const Moment until = std::min(late.answered, early.answered);
                if (is_before && is_well(early.server, early.asked, until) &&
                    !overlap(account_.queue_lost, early.asked, until))
                    found_.push_back("overtaken: " + describe(early) + " by " + describe(late));
            }
        }
    }

    void find_undead(const Sighting& sighting) {
        const Moment since = sighting.asked - undone_within - account_.tolerance;
        if (overlap(account_.store_away, since, sighting.asked) ||
            !is_well(sighting.server, since, sighting.asked))
            return;
        for (const std::string& name : sighting.holders) {
            const auto known = by_name_.find(name);
            if (known == by_name_.end()) continue;
            const Wait& wait = *known->second;
            if (wait.answer == Answer::failed && !wait.repeated && wait.answered < since &&
                is_well(wait.server, wait.answered, sighting.asked) && reported_.insert(name).second)
                found_.push_back("has a slot after it was told of a failure: " + describe(wait));
        }
    }

    void find_idle_slots() {
        // Per pool and borrower, since when every sighting has had it in the queue beside a free slot.
        std::map<std::size_t, std::map<std::string, Moment>> since;
        auto sightings = account_.sightings;
        std::sort(sightings.begin(), sightings.end(),
                  [](const Sighting& a, const Sighting& b) { return a.asked < b.asked; });
        for (const Sighting& sighting : sightings) {
            const bool is_idle = sighting.available > 0 &&
                                 is_well(sighting.server, sighting.asked, sighting.answered) &&
                                 !overlap(account_.store_away, sighting.asked - recovery, sighting.answered);
            auto before = std::move(since[sighting.pool]);
            auto& now = since[sighting.pool] = {};
            if (!is_idle) continue;
            for (const std::string& name : sighting.queue) {
                const auto known = before.find(name);
                now[name] = known == before.end() ? sighting.answered : known->second;
                judge_idleness(name, now[name], sighting.asked);
            }
        }
    }

    void judge_idleness(const std::string& name, Moment since, Moment until) {
        const auto known = by_name_.find(name);
        if (known == by_name_.end()) return;
        const Wait& wait = *known->second;
        if (until - since > woken_within + account_.tolerance && is_well(wait.server, since, until) &&
            wait.answered > until && reported_.insert(name).second)
            found_.push_back("a slot was free all the time since " + std::to_string(since.count()) + " for " +
                             describe(wait));
    }

    const Account& account_;
    std::map<std::string, const Wait*> by_name_;
    std::map<std::string, Moment> queued_;
    std::set<std::string> reported_;
    std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> lapses(const Account& account) {
    return Judge(account).found();
}

std::string to_text(const Account& account) {
    std::string text;
    for (const Wait& wait : account.waits)
        text += describe(wait) + '\n';
    for (const Sighting& seen : account.sightings) {
        text += "seen on server " + std::to_string(seen.server) + time_of(seen.asked, seen.answered) +
                ": pool " + std::to_string(seen.pool) + ", available " + std::to_string(seen.available) +
                ", holders";
        for (const std::string& name : seen.holders)
            text += ' ' + name;
        text += ", queue";
        for (const std::string& name : seen.queue)
            text += ' ' + name;
        text += '\n';
    }
    return text;
}

}  // namespace sema::test
