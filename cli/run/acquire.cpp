#include "cli/run/acquire.hpp"

#include "cli/backoff.hpp"
#include "cli/run/upkeep.hpp"
#include "cli/run/waiting_line.hpp"

#include <poll.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A server whose limit on waiting is tiny is not asked more often than this.
constexpr Duration shortest_poll = 250ms;
// libcurl counts a call's time in milliseconds of 32 bits.
constexpr Duration longest_call = 24h;
// Proxies cut a silent call after 30 or 60 seconds. An answer without a slot names the borrower's place, so
// the first calls are shorter, as are all while a person watches.
constexpr Duration longest_poll = 25s;
constexpr Duration longest_watched_poll = 5s;
constexpr Duration first_poll = 1s;
// The server is asked for the holders of the slots where their list is short.
constexpr std::size_t short_queue = 200;
// No signal is heard meanwhile, and no other lease renewed.
constexpr Duration holders_limit = 500ms;
constexpr Duration longest_renewal = 2s;
// The longest time between two looks at what else there is to do, and the same while a renewal is under way.
constexpr Duration longest_unwatched = 500ms;
constexpr Duration while_asking = 20ms;
// How long leaving the queue may take, and how long where the server did not answer before.
constexpr Duration cancel_limit = 1s;
constexpr Duration late_cancel_limit = 500ms;

class Borrower : public WaitControl {
  public:
    Borrower(Client& client, Console& console, const PoolRef& pool, const Acquisition& wanted,
             Signals& signals)
        : client_(client),
          console_(console),
          pool_(pool),
          request_(wanted.request),
          stale_(wanted.stale),
          earlier_(wanted.earlier),
          longest_poll_(wanted.is_watched ? longest_watched_poll : longest_poll),
          signals_(signals),
          begin_(BootClock::now()),
          line_(console, pool.name, wanted.request.wait, begin_),
          deadline_(begin_ + wanted.request.wait) {
        if (wanted.is_held_above)
            line_.hint(pool.name +
                       ": a semactl run or borrow around this one holds a slot of it, and may keep it until "
                       "this one is done");
    }

    Acquired run() {
        for (;;) {
            const Moment asked = BootClock::now();
            request_.wait =
                std::clamp<Duration>(deadline_ - asked, 0s, request_.lease ? poll_ : longest_call);
            poll_ = std::min(poll_ * 5, longest_poll_);
            BorrowAnswer answer = client_.borrow(pool_.id, request_, *this);
            if (auto result = conclude(answer)) return std::move(*result);

            if (!suspension_) pause_until(std::min(deadline_, next_try(answer, asked)));
            if (signal_ || earlier_lost_) return leave();
            if (suspension_) {
                if (earlier_ != nullptr && !earlier_->leases().empty()) return leave();
                may_be_older_ = request_.lease.has_value();
                // Asks at least once more, however long that takes.
                signals_.stop_self(*std::exchange(suspension_, std::nullopt));
                continue;
            }
            if (BootClock::now() >= deadline_) return give_up(std::move(answer));
        }
    }

    int wake_fd() const override { return signals_.fd(); }

    // The keepalives of earlier leases are seen to in between.
    Duration longest_round() const override {
        if (earlier_ == nullptr) return longest_unwatched;
        if (earlier_->is_asking()) return while_asking;
        const Moment now = BootClock::now();
        return std::clamp(earlier_->next_deadline(now) - now, while_asking, longest_unwatched);
    }

    bool keep_waiting() override {
        while (const auto signal = signals_.next()) {
            if (ends_waiting(signal->number)) {
                signal_ = signal->number;
                if (signal->parent_is_gone)
                    console_.note(pool_.name +
                                  ": the process that started semactl is gone, leaving the queue");
                return false;
            }
            switch (signal->number) {
                case SIGTSTP:
                case SIGTTIN:
                case SIGTTOU:
                    suspension_ = signal->number;
                    return false;
                default:
                    // There is no command yet that the others could be for.
                    break;
            }
        }
        const Moment now = BootClock::now();
        if (earlier_ != nullptr) {
            earlier_->proceed(now);
            // There is no command yet that would have to be asked to stop before that.
            earlier_lost_ =
                earlier_lost_ || earlier_->take_lost() || earlier_->due(now) == Upkeep::Step::kill;
        }
        line_.update(now);
        return !earlier_lost_;
    }

  private:
    // The result, where the answer is one that asking again would not better.
    std::optional<Acquired> conclude(BorrowAnswer& answer) {
        if (auto* grant = std::get_if<Grant>(&answer)) return accept(*grant);
        if (signal_ || earlier_lost_) return leave();
        if (std::holds_alternative<NoSuchPool>(answer)) return NoSuchPool{};
        if (auto* rejected = std::get_if<Rejected>(&answer)) return std::move(*rejected);
        return std::nullopt;
    }

    // The lease, unless there is a reason not to begin anything with it: then it is returned.
    std::optional<Acquired> accept(Grant grant) {
        Duration whole = grant.ttl;
        // What is left of a lease that an earlier call was granted is less than the time asked for.
        if (may_be_older_) {
            whole = request_.ttl;
            grant.ttl = std::min<Duration>(grant.ttl, std::chrono::seconds(grant.lease.expires_in));
        }
        HeldLease lease(client_, console_, pool_, grant);
        if (auto end = end_of_wait()) return end;
        if (suspension_) return give_back(lease);
        if (is_as_new(grant, whole)) return use(lease);
        const bool is_gone = ask_what_is_left(grant, whole) == Rest::none;
        lease.disown();
        HeldLease known(client_, console_, pool_, grant);
        if (auto end = end_of_wait()) return end;
        if (suspension_) return give_back(known);
        if (stale_ == Acquisition::Stale::accept && !is_gone) return use(known);
        // Half of it is enough to begin something. A borrower that asks for a ttl is likely to need it.
        const bool is_enough = term_of(grant).safe_until - BootClock::now() >= whole / 2;
        return is_enough && !is_gone ? std::optional(use(known)) : give_back(known);
    }

    // Why no lease is of any use now.
    std::optional<Acquired> end_of_wait() {
        keep_waiting();
        if (signal_) return Stopped{*signal_};
        if (earlier_lost_ || (earlier_ && earlier_->due(BootClock::now()) != Upkeep::Step::none))
            return EarlierLost{};
        return std::nullopt;
    }

    // Whether nothing can be gone of the lease that would be missed.
    bool is_as_new(const Grant& grant, Duration whole) const {
        const LeaseTerm term = term_of(grant);
        const Moment now = BootClock::now();
        switch (stale_) {
            case Acquisition::Stale::accept:
                return is_whole(term, now);
            case Acquisition::Stale::replace:
                return grant.ttl >= whole / 2 && is_whole(term, now);
            case Acquisition::Stale::renew:
                return grant.ttl >= whole / 2 && is_fresh(term, now);
        }
        return false;
    }

    enum class Rest { known, none, unknown };

    // Gets to know how long the lease lasts from now on, whose answer may have lain for a while before it was
    // read: by renewing it, or, where that is not to be, by the same borrow once more, whose answer names the
    // time that is left.
    Rest ask_what_is_left(Grant& grant, Duration& whole) {
        const Moment asked = BootClock::now();
        if (stale_ != Acquisition::Stale::accept) {
            const Duration limit = std::clamp<Duration>(request_.ttl / 6, 500ms, longest_renewal);
            const auto answer = client_.keepalive(pool_.id, grant.lease.lease, request_.ttl, limit);
            if (const auto* renewed = std::get_if<wire::Renewed>(&answer)) {
                if (!renewed->lease) return Rest::none;
                grant.asked = asked;
                grant.lease.expires_in = renewed->lease->expires_in;
                grant.lease.expires_at_unix = renewed->lease->expires_at_unix;
                grant.ttl = whole = granted_ttl(renewed->lease->expires_in, request_.ttl);
                return Rest::known;
            }
            if (!std::holds_alternative<NotRenewable>(answer)) return Rest::unknown;
        }
        // A server without extensions does not know the lease by the borrower's id.
        if (!request_.lease || !grant.lease.details) return Rest::unknown;
        request_.wait = 0s;
        const auto answer = client_.borrow(pool_.id, request_, *this);
        if (std::holds_alternative<NoSlot>(answer)) return Rest::none;
        const auto* same = std::get_if<Grant>(&answer);
        if (same == nullptr) return Rest::unknown;
        grant = *same;
        grant.ttl = std::min<Duration>(grant.ttl, std::chrono::seconds(grant.lease.expires_in));
        return Rest::known;
    }

    Acquired use(HeldLease& lease) {
        line_.granted(BootClock::now(), lease.grant().lease.position);
        return std::move(lease);
    }

    std::nullopt_t give_back(HeldLease& lease) {
        lease.give_back();
        may_be_older_ = false;
        // A server without extensions says nothing of a lease but that it is granted: a shorter call leaves
        // more.
        if (!lease.grant().lease.details)
            longest_poll_ = std::clamp<Duration>(request_.ttl / 4, shortest_poll, longest_poll_);
        // A return whose answer was lost may yet arrive, and must not meet the next lease.
        if (request_.lease && stale_ != Acquisition::Stale::accept) request_.lease = LeaseId::random();
        if (!suspension_) console_.note(pool_.name + ": the slot came too late to be used");
        return std::nullopt;
    }

    // When to ask again, after there was no slot, one that came too late, or no answer.
    Moment next_try(const BorrowAnswer& answer, Moment asked) {
        if (std::holds_alternative<Grant>(answer)) return BootClock::now() + backoff_.next();
        if (const auto* busy = std::get_if<Busy>(&answer)) return after(*busy);
        if (const auto* trouble = std::get_if<Unreachable>(&answer)) return after(*trouble);
        may_be_older_ = false;
        backoff_.reset();
        line_.recovered(BootClock::now());
        if (const auto* none = std::get_if<NoSlot>(&answer)) show_place(*none);
        return asked + shortest_poll;
    }

    // A server that has answered is only away for a while.
    std::string advice_on(const Unreachable& why) const { return was_answered_ ? "" : why.advice; }
    std::string advice_on(const Busy&) const { return ""; }

    template <class Trouble>
    Moment after(const Trouble& trouble) {
        may_be_older_ = request_.lease && (may_be_older_ || trouble.may_be_done);
        // What it says once it is back is worth knowing soon.
        poll_ = first_poll;
        const Moment now = BootClock::now();
        const Duration pause = std::max(backoff_.next(), trouble.retry_after.value_or(0s));
        if (now < deadline_)
            line_.trouble(now, client_.server().name, predicate(trouble), advice_on(trouble));
        return now + pause;
    }

    void pause_until(Moment end) {
        while (!signal_ && !earlier_lost_ && !suspension_) {
            const Duration left = end - BootClock::now();
            if (left <= 0s) return;
            pollfd wake{signals_.fd(), POLLIN, 0};
            const auto ms = std::chrono::ceil<std::chrono::milliseconds>(std::min(left, longest_round()));
            poll(&wake, 1, static_cast<int>(ms.count()));
            keep_waiting();
        }
    }

    void show_place(const NoSlot& none) {
        const Moment now = BootClock::now();
        was_answered_ = true;
        line_.place(none);
        if (!none.details || !line_.wants_holders(now)) return;
        if (none.details->queue <= short_queue && now < deadline_) {
            const auto holders = client_.holders(pool_.id, holders_limit);
            if (const auto* view = std::get_if<wire::PoolDetails>(&holders)) line_.holders(now, *view);
        }
        line_.say_place(now);
    }

    // The server keeps the place of a borrower that named its lease, even if it hangs up.
    Acquired leave() {
        if (request_.lease) cancel(cancel_limit);
        if (signal_) return Stopped{*signal_};
        if (suspension_) return Suspended{*suspension_};
        return EarlierLost{};
    }

    // Whatever was granted in the same moment is returned.
    void cancel(Duration limit) {
        const auto answer = client_.cancel(pool_.id, *request_.lease, limit);
        const auto* done = std::get_if<wire::Cancelled>(&answer);
        if (done && !done->cancelled) client_.give_back(pool_.id, *request_.lease, limit);
    }

    Acquired give_up(BorrowAnswer answer) {
        const auto* refused = std::get_if<NoSlot>(&answer);
        const bool may_be_known = !refused || refused->keeps_place;
        // No later call takes up the place, or a lease whose answer was lost.
        if (request_.lease && stale_ != Acquisition::Stale::accept && may_be_known)
            cancel(refused ? cancel_limit : late_cancel_limit);
        if (auto* trouble = std::get_if<Unreachable>(&answer)) return std::move(*trouble);
        if (auto* busy = std::get_if<Busy>(&answer)) return std::move(*busy);
        if (auto* none = std::get_if<NoSlot>(&answer)) return std::move(*none);
        return NoSlot{};
    }

    Client& client_;
    Console& console_;
    const PoolRef& pool_;
    wire::BorrowRequest request_;
    const Acquisition::Stale stale_;
    Keeper* const earlier_;
    Duration longest_poll_;
    Signals& signals_;
    const Moment begin_;
    WaitingLine line_;
    const Moment deadline_;
    Backoff backoff_;
    Duration poll_ = first_poll;
    std::optional<int> signal_;
    /// The signal that is to stop semactl, once it has hung up.
    std::optional<int> suspension_;
    bool earlier_lost_ = false;
    /// A call before this one may have been granted the lease, and its answer been lost.
    bool may_be_older_ = false;
    /// The server had a place in the queue for it.
    bool was_answered_ = false;
};

}  // namespace

Acquired acquire(Client& client, Console& console, const PoolRef& pool, const Acquisition& wanted,
                 Signals& signals) {
    return Borrower(client, console, pool, wanted, signals).run();
}

}  // namespace sema
