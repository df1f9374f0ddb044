#include "cli/run/upkeep.hpp"

#include <algorithm>

namespace sema {
namespace {

using namespace std::chrono_literals;

// An answer is rarely longer on its way; a tenth keeps most of a short ttl usable.
constexpr Duration longest_transit = 1s;
constexpr int transit_share = 10;

// What killing and reaping a process tree takes on a busy machine.
constexpr Duration longest_kill = 500ms;
constexpr int kill_share = 20;

}  // namespace

LeaseTerm term_of(const Grant& grant, Duration asked_ttl) {
    const auto seconds = std::clamp<std::int64_t>(grant.lease.expires_in, 0, whole_seconds(longest_duration));
    const Duration named = std::chrono::seconds(seconds);
    const bool cut = named + 1s <= asked_ttl;
    const Duration ttl = cut ? std::min(named, asked_ttl) : asked_ttl;
    const Duration transit = std::min(longest_transit, ttl / transit_share);
    const Moment granted_at_the_earliest = std::max(grant.asked, grant.unanswered - transit);
    return {granted_at_the_earliest + ttl, ttl};
}

bool is_useful(const LeaseTerm& term, Moment now) {
    return term.ttl > 0s && term.safe_until - now >= term.ttl / 2;
}

Upkeep::Upkeep(const LeaseTerm& term, Duration grace) {
    const Duration for_killing = std::min(longest_kill, term.ttl / kill_share);
    kill_at_ = term.safe_until - for_killing;
    terminate_at_ = kill_at_ - std::min(grace, term.ttl / 3);
}

Upkeep::Step Upkeep::due(Moment now) const {
    if (now >= kill_at_) return Step::kill;
    if (now >= terminate_at_) return Step::terminate;
    return Step::none;
}

Moment Upkeep::next_deadline(Moment now) const {
    if (now < terminate_at_) return terminate_at_;
    if (now < kill_at_) return kill_at_;
    return Moment::max();
}

}  // namespace sema
