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

LeaseTerm term_of(const Grant& grant) {
    const Duration transit = std::min(longest_transit, grant.ttl / transit_share);
    const Moment granted_at_the_earliest = std::max(grant.asked, grant.unanswered - transit);
    return {granted_at_the_earliest + grant.ttl, grant.ttl};
}

bool is_useful(const LeaseTerm& term, Moment now) {
    return term.ttl > 0s && term.safe_until - now >= term.ttl / 2;
}

Upkeep::Upkeep(const LeaseTerm& term, const Options& options, Moment now)
    : options_(options), ttl_(term.ttl) {
    set_end(term.safe_until);
    if (options_.keepalive) keepalive_at_ = now + until_next();
}

void Upkeep::set_end(Moment safe_until) {
    kill_at_ = safe_until - std::min(longest_kill, ttl_ / kill_share);
    terminate_at_ = kill_at_ - std::min(options_.grace, ttl_ / 3);
}

// A third of the ttl leaves room for a second try and a third one. Spread, lest a crowd that was started at
// once asks at once for ever.
Duration Upkeep::until_next() {
    const Duration third = ttl_ / 3;
    return Duration(std::uniform_int_distribution<Duration::rep>((third - third / 10).count(),
                                                                 (third + third / 10).count())(random_));
}

Upkeep::Step Upkeep::due(Moment now) const {
    if (now >= kill_at_) return Step::kill;
    if (now >= terminate_at_) return Step::terminate;
    return Step::none;
}

bool Upkeep::is_keepalive_due(Moment now) const {
    return !asked_ && now >= keepalive_at_ && now < kill_at_;
}

Duration Upkeep::begin_keepalive(Moment now) {
    asked_ = now;
    // Long enough for a server that is busy, and short enough for one more try.
    return std::clamp<Duration>(ttl_ / 6, 200ms, 10s);
}

void Upkeep::renewed(Moment now, std::int64_t expires_in) {
    const Duration ttl = granted_ttl(expires_in, *options_.keepalive);
    ttl_ = std::max(ttl_, ttl);
    set_end(*asked_ + ttl);
    asked_.reset();
    backoff_.reset();
    keepalive_at_ = now + until_next();
}

void Upkeep::failed(Moment now) {
    asked_.reset();
    keepalive_at_ = now + std::min(backoff_.next(), ttl_ / 6);
}

void Upkeep::stop_renewing() {
    options_.keepalive.reset();
    asked_.reset();
    keepalive_at_ = Moment::max();
}

void Upkeep::ended() {
    stop_renewing();
    terminate_at_ = kill_at_ = Moment::max();
}

Moment Upkeep::next_deadline(Moment now) const {
    Moment next = Moment::max();
    if (now < terminate_at_) {
        next = terminate_at_;
    } else if (now < kill_at_) {
        next = kill_at_;
    }
    if (!asked_ && now < kill_at_) next = std::min(next, std::max(keepalive_at_, now));
    return next;
}

}  // namespace sema
