#include "client/borrowing.hpp"

#include "client/upkeep.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A server whose limit on waiting is tiny is not asked more often than this.
constexpr Duration shortest_poll = 250ms;
// libcurl counts a call's time in milliseconds of 32 bits.
constexpr Duration longest_call = 24h;
constexpr Duration longest_renewal = 2s;
// A proxy may answer in a server's place while that restarts. Where no semad was heard yet, the address may
// as well be another server's, which is to be reported soon.
constexpr Duration patience_with_strangers = 30s;

}  // namespace

Borrowing::Borrowing(wire::BorrowRequest request, Stale stale, Polls polls, Moment begin)
    : request_(std::move(request)),
      stale_(stale),
      polls_(polls),
      begin_(begin),
      deadline_(begin + request_.wait),
      poll_(polls.first) {}

const wire::BorrowRequest& Borrowing::next_call(Moment now) {
    const Duration least = deadline_ > begin_ ? least_wait : 0s;
    request_.wait = std::clamp<Duration>(deadline_ - now, least, request_.lease ? poll_ : longest_call);
    poll_ = std::min(poll_ * 5, polls_.longest);
    return request_;
}

Moment Borrowing::next_try(const BorrowAnswer& answer, Moment asked, Moment now) {
    if (std::holds_alternative<Grant>(answer)) return now + backoff_.next();
    if (const auto* busy = std::get_if<Busy>(&answer)) return after(*busy, now);
    if (const auto* trouble = std::get_if<Unreachable>(&answer)) return after(*trouble, now);
    const auto* stranger = std::get_if<Rejected>(&answer);
    if (stranger && stranger->is_taken_over) {
        // Nobody waits for the answer to the call that has the place, which may be granted the lease.
        may_be_older_ = true;
        return now + backoff_.next();
    }
    if (stranger) return after(*stranger, now);
    may_be_older_ = false;
    backoff_.reset();
    return asked + shortest_poll;
}

namespace {

std::optional<Duration> pause_asked_for(const Rejected&) {
    return std::nullopt;
}
template <class Trouble>
std::optional<Duration> pause_asked_for(const Trouble& trouble) {
    return trouble.retry_after;
}

}  // namespace

template <class Trouble>
Moment Borrowing::after(const Trouble& trouble, Moment now) {
    may_be_older_ = request_.lease && (may_be_older_ || trouble.may_be_done);
    is_unread_ = is_unread_ || trouble.may_be_done;
    // Its answer is to come soon once it is back.
    poll_ = first_poll;
    return now + backoff_.next(pause_asked_for(trouble), deadline_ - now, shortest_poll);
}

bool Borrowing::is_final(const BorrowAnswer& answer, Moment now) {
    if (std::holds_alternative<NoSuchPool>(answer)) return true;
    const auto* const rejected = std::get_if<Rejected>(&answer);
    return rejected && !is_echo(*rejected) && !may_pass(*rejected, now);
}

// Whether it is an older call of this borrower that took the place, and was read later. Nobody else knows an
// id that was made up here; of one that the user chose each unread call is believed to do so once.
bool Borrowing::is_echo(const Rejected& why) {
    if (!why.is_taken_over) return false;
    const bool may_be_read_late = std::exchange(is_unread_, false);
    return !is_users_id() || may_be_read_late;
}

bool Borrowing::may_pass(const Rejected& why, Moment now) const {
    return why.is_foreign && !why.is_handshake && now - begin_ < patience_with_strangers;
}

Borrowing::Offer Borrowing::offer(Grant grant) const {
    Duration whole = grant.ttl;
    // A lease that an earlier call was granted has less time left than was asked for.
    if (may_be_older_ || grant.may_be_older) {
        whole = request_.ttl;
        grant.ttl = std::min<Duration>(grant.ttl, std::chrono::seconds(grant.lease.expires_in));
    }
    return {std::move(grant), whole};
}

bool Borrowing::is_as_new(const Offer& offer, Moment now) const {
    const LeaseTerm term = term_of(offer.grant);
    switch (stale_) {
        case Stale::accept:
            return is_whole(term, now);
        case Stale::replace:
            return offer.grant.ttl >= offer.whole / 2 && is_whole(term, now);
        case Stale::renew:
            return offer.grant.ttl >= offer.whole / 2 && is_fresh(term, now);
    }
    return false;
}

Duration Borrowing::renewal_limit() const {
    return std::clamp<Duration>(request_.ttl / 6, 500ms, longest_renewal);
}

std::optional<Borrowing::Rest> Borrowing::renewed(Offer& offer, Moment asked,
                                                  const KeepaliveAnswer& answer) const {
    if (std::holds_alternative<NotRenewable>(answer)) return std::nullopt;
    const auto* renewed = std::get_if<wire::Renewed>(&answer);
    if (renewed == nullptr) return Rest::unknown;
    if (!renewed->lease) return Rest::none;
    Grant& grant = offer.grant;
    grant.asked = asked;
    grant.lease.expires_in = renewed->lease->expires_in;
    grant.lease.expires_at_unix = renewed->lease->expires_at_unix;
    grant.ttl = offer.whole = granted_ttl(renewed->lease->expires_in, request_.ttl);
    return Rest::known;
}

// A server without extensions does not know the lease by the borrower's id.
bool Borrowing::may_ask_again(const Offer& offer) const {
    return request_.lease && offer.grant.lease.details;
}

const wire::BorrowRequest& Borrowing::call_for_rest() {
    request_.wait = 0s;
    return request_;
}

Borrowing::Rest Borrowing::asked_again(Offer& offer, const BorrowAnswer& answer) const {
    if (std::holds_alternative<NoSlot>(answer)) return Rest::none;
    const auto* same = std::get_if<Grant>(&answer);
    if (same == nullptr) return Rest::unknown;
    offer.grant = *same;
    offer.grant.ttl = std::min<Duration>(same->ttl, std::chrono::seconds(same->lease.expires_in));
    return Rest::known;
}

bool Borrowing::is_enough(const Offer& offer, Rest rest, Moment now) const {
    if (rest == Rest::none) return false;
    return stale_ == Stale::accept || term_of(offer.grant).safe_until - now >= offer.whole / 2;
}

void Borrowing::gave_back(const Grant& grant) {
    // A server without extensions says nothing of a lease but that it is granted: a shorter call leaves more.
    if (!grant.lease.details)
        polls_.longest = std::clamp<Duration>(request_.ttl / 4, shortest_poll, polls_.longest);
    left_for_good();
}

void Borrowing::left_for_good() {
    may_be_older_ = false;
    // A return whose answer was lost may yet arrive, and must not meet the next lease.
    if (request_.lease && !is_users_id()) request_.lease = LeaseId::random();
}

std::optional<Duration> Borrowing::leave_limit(const BorrowAnswer& answer) const {
    const auto* refused = std::get_if<NoSlot>(&answer);
    const bool may_be_known = !refused || refused->keeps_place;
    if (!request_.lease || is_users_id() || !may_be_known) return std::nullopt;
    return refused ? cancel_limit : late_cancel_limit;
}

}  // namespace sema
