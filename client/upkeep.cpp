#include "client/upkeep.hpp"

#include "client/jitter.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A call that does not wait is rarely longer on its way.
constexpr Duration longest_call = 1s;
constexpr int call_share = 10;

// What killing and reaping a process tree takes on a busy machine. (A thousand busy processes take several
// tenths of a second.)
constexpr Duration longest_kill = 1s;
constexpr int kill_share = 12;

// Half of the ttl is for an outage of the server. The rest is for the time until a renewal is due (a fifth),
// the command's time to stop (a sixth), killing it (a twelfth), and noticing that the server is back: a
// twentieth remains for that. On a busy machine noticing takes a time that does not depend on the ttl: a
// renewal is due by as much sooner, as far as that about doubles what remains.
constexpr int renewal_share = 5;
constexpr int grace_share = 6;
constexpr int noticing_share = 20;
constexpr Duration longest_noticing = 150ms;

// How long a command that should be asked to stop is spared for a keepalive that was never tried.
constexpr Duration longest_last_try = 500ms;

// Long enough for a server that is busy.
constexpr Duration longest_try = 10s;
constexpr Duration shortest_try = 100ms;
constexpr int most_tries = 60;
constexpr Duration shortest_pause = 20ms;

// How much of the ttl is over when a renewal is due.
Duration latest_renewal(Duration ttl) {
    return ttl / renewal_share - std::min(longest_noticing, ttl / noticing_share);
}

}  // namespace

LeaseTerm term_of(const Grant& grant) {
    return {grant.asked + grant.ttl, grant.ttl};
}

bool is_fresh(const LeaseTerm& term, Moment now) {
    return term.ttl > 0s && now <= term.safe_until - term.ttl + term.ttl / renewal_share;
}

bool is_whole(const LeaseTerm& term, Moment now) {
    const Duration call = std::min(longest_call, term.ttl / call_share);
    return term.ttl > 0s && now <= term.safe_until - term.ttl + call;
}

Duration longest_grace(Duration ttl) {
    return ttl / grace_share;
}

Upkeep::Upkeep(const LeaseTerm& term, const Options& options)
    : options_(options), ttl_(term.ttl), granted_(term.ttl) {
    set_end(term.safe_until);
    if (options_.keepalive) renew_after(term.safe_until - term.ttl);
}

void Upkeep::set_end(Moment safe_until) {
    ends_at_ = safe_until;
    kill_at_ = safe_until - kill_time();
    terminate_at_ = kill_at_ - std::min(options_.grace, longest_grace(ttl_));
}

Duration Upkeep::kill_time() const {
    return std::min(longest_kill, ttl_ / kill_share);
}

// Spread, lest a crowd that was started at once asks at once for ever.
void Upkeep::renew_after(Moment granted_at) {
    const Duration latest = latest_renewal(ttl_);
    keepalive_at_ = granted_at + random_duration(latest - latest / 6, latest);
}

Upkeep::Step Upkeep::due(Moment now) const {
    if (now >= kill_at_) return Step::kill;
    if (now >= terminate_at_ && !has_a_try_left(now)) return Step::terminate;
    return Step::none;
}

// Whether the lease could well be renewed yet: the renewal was not asked for in time since the machine slept.
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
    // Short enough for one more try, but not too short for any.
    const Duration limit = std::max({(next_end(now) - now) / 2, shortest_try, ttl_ / most_tries});
    return std::min(limit, longest_try);
}

// By when an answer must be there to be of use.
Moment Upkeep::next_end(Moment now) const {
    return now < terminate_at_ ? terminate_at_ : kill_at_;
}

void Upkeep::renewed(std::int64_t expires_in) {
    const Duration ttl = granted_ttl(expires_in, *options_.keepalive);
    // Once a lease has reached its longest life, each renewal is answered the same end, rounded down anew. A
    // server that renews leases for less than before brings the end nearer, or goes on with just that.
    const bool ends_as_before = ttl<granted_&& * asked_ + ttl> ends_at_ - 1s;
    if (!ends_as_before) ttl_ = ttl;
    granted_ = ttl;
    const bool was_cut = std::exchange(is_cut_, ttl < *options_.keepalive);
    is_failing_ = false;
    set_end(*asked_ + ttl);
    renew_after(*asked_);
    if (ends_as_before && was_cut && terminate_at_ - keepalive_at_ < 1s) keepalive_at_ = BootClock::never;
    asked_.reset();
    backoff_.reset();
}

void Upkeep::failed(Moment now) {
    asked_.reset();
    is_failing_ = true;
    keepalive_at_ = now + std::clamp((next_end(now) - now) / 4, shortest_pause, backoff_.next());
}

void Upkeep::stop_renewing() {
    options_.keepalive.reset();
    asked_.reset();
    keepalive_at_ = BootClock::never;
}

void Upkeep::ended() {
    stop_renewing();
    terminate_at_ = kill_at_ = BootClock::never;
}

Moment Upkeep::next_deadline(Moment now) const {
    Moment next = BootClock::never;
    if (now < terminate_at_) {
        next = terminate_at_;
    } else if (now < kill_at_) {
        next = asked_ && has_a_try_left(now) ? last_try_ends() : kill_at_;
    }
    if (!asked_ && now < kill_at_) next = std::min(next, std::max(keepalive_at_, now));
    return next;
}

}  // namespace sema
