#include "cli/run/upkeep.hpp"

#include <algorithm>

namespace sema {
namespace {

using namespace std::chrono_literals;

// An answer is rarely longer on its way; a tenth keeps most of a short ttl usable.
constexpr Duration longest_transit = 1s;
constexpr int transit_share = 10;

// What killing and reaping a process tree takes on a busy machine. (A thousand busy processes take several
// tenths of a second.)
constexpr Duration longest_kill = 1s;
constexpr int kill_share = 10;

// How long a command that should be asked to stop is spared for a keepalive that was never tried.
constexpr Duration longest_last_try = 500ms;
// After a failure a lease is asked for at least so many times in its ttl.
constexpr int tries_in_ttl = 12;

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
    if (now >= terminate_at_ && !has_a_try_left(now)) return Step::terminate;
    return Step::none;
}

// Whether the lease could well be renewed yet: nobody asked, since nobody was awake to.
bool Upkeep::has_a_try_left(Moment now) const {
    if (is_failing_) return false;
    if (!asked_) return now >= keepalive_at_;
    return *asked_ >= terminate_at_ && now < last_try_ends();
}

Moment Upkeep::last_try_ends() const {
    return *asked_ + std::min(longest_last_try, (kill_at_ - *asked_) / 2);
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
    is_cut_ = ttl < *options_.keepalive;
    is_failing_ = false;
    set_end(*asked_ + ttl);
    asked_.reset();
    backoff_.reset();
    keepalive_at_ = now + until_next();
}

void Upkeep::failed(Moment now) {
    asked_.reset();
    is_failing_ = true;
    keepalive_at_ = now + std::min(backoff_.next(), ttl_ / tries_in_ttl);
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
        next = asked_ && has_a_try_left(now) ? last_try_ends() : kill_at_;
    }
    if (!asked_ && now < kill_at_) next = std::min(next, std::max(keepalive_at_, now));
    return next;
}

}  // namespace sema
