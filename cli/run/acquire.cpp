#include "cli/run/acquire.hpp"

#include "cli/run/return_deadline.hpp"
#include "cli/run/waiting_line.hpp"
#include "client/upkeep.hpp"
#include "common/overloaded.hpp"

#include <poll.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// The place in the queue is news then.
constexpr Duration longest_watched_poll = 5s;
// The server is asked for the holders of the slots where their list is short.
constexpr std::size_t short_queue = 200;
// No signal is heard meanwhile, and no other lease renewed.
constexpr Duration holders_limit = 500ms;
// The longest time between two looks at what else there is to do, and the same while a renewal is under way.
constexpr Duration longest_unwatched = 500ms;
constexpr Duration while_asking = 20ms;
// The last try to leave the queue, once semactl was asked to end.
constexpr Duration last_try = 200ms;

// Why there is no such answer.
template <class Done>
std::string trouble_of(const Answer<Done>& answer) {
    return std::visit(
        Overloaded{[](const Done&) { return std::string(); }, [](const auto& why) { return predicate(why); }},
        answer);
}

std::string trouble_of(const KeepaliveAnswer& answer) {
    return std::visit(Overloaded{[](const wire::Renewed&) { return std::string(); },
                                 [](const NotRenewable&) { return std::string(); },
                                 [](const auto& why) { return predicate(why); }},
                      answer);
}

class Borrower : public WaitControl {
  public:
    Borrower(Client& client, Console& console, const PoolRef& pool, const Acquisition& wanted,
             Requests& requests)
        : client_(client),
          console_(console),
          pool_(pool),
          earlier_(wanted.earlier),
          rules_(wanted.request, wanted.stale, polls(wanted), BootClock::now()),
          requests_(requests),
          line_(console, pool.name, wanted.request.wait, rules_.begin()) {
        if (wanted.is_held_above)
            line_.hint(pool.name +
                       ": a semactl run or borrow around this one holds a slot of it, and may keep it until "
                       "this one is done");
    }

    Acquired run() {
        for (;;) {
            const Moment asked = BootClock::now();
            BorrowAnswer answer = client_.borrow(pool_.id, rules_.next_call(asked), *this);
            if (auto result = conclude(answer)) return std::move(*result);

            if (!requests_.suspension()) pause_until(std::min(rules_.deadline(), next_try(answer, asked)));
            if (requests_.end() || earlier_lost_) return leave();
            if (requests_.suspension()) {
                // What the shell writes next has the row for itself.
                console_.live("");
                if (earlier_ != nullptr && !earlier_->leases().empty()) return leave();
                return_unheard();
                keep_waiting();
                if (requests_.end()) return leave();
                // Asks at least once more, however long that takes.
                requests_.suspend();
                continue;
            }
            if (BootClock::now() >= rules_.deadline()) return give_up(std::move(answer));
        }
    }

    int wake_fd() const override { return requests_.fd(); }

    // The keepalives of earlier leases are seen to in between.
    Duration longest_round() const override {
        if (earlier_ == nullptr) return longest_unwatched;
        if (earlier_->is_asking()) return while_asking;
        const Moment now = BootClock::now();
        return std::clamp(earlier_->next_deadline(now) - now, while_asking, longest_unwatched);
    }

    bool keep_waiting() override {
        requests_.take_in();
        if (requests_.end()) {
            if (requests_.end()->parent_is_gone && !std::exchange(parent_said_, true))
                console_.note(pool_.name + ": the process that started semactl is gone, leaving the queue");
            return false;
        }
        if (requests_.suspension()) return false;
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
        if (std::holds_alternative<Left>(answer)) rules_.left();
        if (requests_.end() || earlier_lost_) return leave();
        if (!rules_.is_final(answer, BootClock::now())) return std::nullopt;
        if (std::holds_alternative<NoSuchPool>(answer)) return NoSuchPool{};
        return std::move(std::get<Rejected>(answer));
    }

    // The lease, unless there is a reason not to begin anything with it: then it is returned.
    std::optional<Acquired> accept(const Grant& grant) {
        Borrowing::Offer offer = rules_.offer(grant);
        HeldLease lease = held(offer.grant);
        if (auto end = end_of_wait(lease)) return end;
        if (requests_.suspension()) return give_back(lease);
        if (rules_.is_as_new(offer, BootClock::now())) return use(lease);
        const Borrowing::Rest rest = ask_what_is_left(offer);
        lease.disown();
        HeldLease known = held(offer.grant);
        if (auto end = end_of_wait(known)) return end;
        if (requests_.suspension()) return give_back(known);
        if (!rules_.is_enough(offer, rest, BootClock::now())) return give_back(known);
        return use(known);
    }

    // One whose id the user chose may have been held before, by another process that knows the id: it is not
    // ours to return.
    HeldLease held(const Grant& grant) {
        HeldLease lease(client_, console_, pool_, grant);
        if (rules_.is_users_id()) lease.disown();
        return lease;
    }

    void say_named_lease_stays() {
        console_.note(pool_.name +
                      ": the lease that --lease names may be held, and is not returned (semactl return "
                      "does that)");
    }

    // Why the lease is of no use now.
    std::optional<Acquired> end_of_wait(HeldLease& lease) {
        keep_waiting();
        const auto& end = requests_.end();
        if (end && rules_.is_users_id()) say_named_lease_stays();
        if (end) {
            lease.give_back(time_to_leave());
            return Stopped{end->signal};
        }
        if (!earlier_lost_ && (!earlier_ || earlier_->due(BootClock::now()) == Upkeep::Step::none))
            return std::nullopt;
        // It is to be borrowed anew.
        lease.give_back(ReturnDeadline(requests_));
        return EarlierLost{};
    }

    // Gets to know how long the lease lasts from now on, whose answer may have lain for a while before it was
    // read.
    Borrowing::Rest ask_what_is_left(Borrowing::Offer& offer) {
        if (rules_.may_renew()) {
            const Moment asked = BootClock::now();
            const auto answer = renew(offer.grant.lease);
            if (!answer) return Borrowing::Rest::unknown;
            if (const auto rest = rules_.renewed(offer, asked, *answer)) return *rest;
        }
        if (!rules_.may_ask_again(offer)) return Borrowing::Rest::unknown;
        return rules_.asked_again(offer, client_.borrow(pool_.id, rules_.call_for_rest(), *this));
    }

    // Nothing where the wait ends meanwhile.
    std::optional<KeepaliveAnswer> renew(const wire::LeaseGrant& lease) {
        client_.begin_keepalive(pool_.id, lease.lease, rules_.request().ttl, rules_.renewal_limit(),
                                lease.fence());
        for (;;) {
            if (auto answer = client_.keepalive_answer()) return answer;
            client_.wait({requests_.fd()}, longest_round());
            if (keep_waiting()) continue;
            client_.drop_keepalive();
            return std::nullopt;
        }
    }

    Acquired use(HeldLease& lease) {
        const Moment now = BootClock::now();
        line_.recovered(now, client_.server().name);
        line_.granted(now, lease.grant().lease.position);
        return std::move(lease);
    }

    // Asks for another one then, unless a signal has ended the wait meanwhile: there is no place to leave.
    std::optional<Acquired> give_back(HeldLease& lease) {
        const bool is_suspended = requests_.suspension().has_value();
        ReturnDeadline deadline(requests_);
        // Earlier leases are kept alive meanwhile.
        lease.give_back([&] {
            const Moment end = deadline();
            keep_waiting();
            return end;
        });
        rules_.gave_back(lease.grant());
        if (const auto& end = requests_.end()) return Stopped{end->signal};
        if (!is_suspended) console_.note(pool_.name + ": the slot came too late to be used");
        return std::nullopt;
    }

    // When to ask again, after there was no slot, one that came too late, or no answer; and says so.
    Moment next_try(const BorrowAnswer& answer, Moment asked) {
        const Moment now = BootClock::now();
        const Moment next = rules_.next_try(answer, asked, now);
        const auto* stranger = std::get_if<Rejected>(&answer);
        if (const auto* none = std::get_if<NoSlot>(&answer)) {
            line_.recovered(now, client_.server().name);
            show_place(*none);
        } else if (const auto* busy = std::get_if<Busy>(&answer)) {
            say_trouble(now, predicate(*busy));
        } else if (const auto* trouble = std::get_if<Unreachable>(&answer)) {
            // A server that has answered is only away for a while.
            say_trouble(now, predicate(*trouble), was_answered_ ? "" : trouble->advice);
        } else if (stranger && !stranger->is_taken_over) {
            say_trouble(now, predicate(Unreachable{"it " + stranger->reason}));
        }
        return next;
    }

    void say_trouble(Moment now, const std::string& what, const std::string& advice = "") {
        if (now < rules_.deadline()) line_.trouble(now, client_.server().name, what, advice);
    }

    void pause_until(Moment end) {
        while (!requests_.end() && !earlier_lost_ && !requests_.suspension()) {
            const Duration left = end - BootClock::now();
            if (left <= 0s) return;
            pollfd wake{requests_.fd(), POLLIN, 0};
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
        if (none.details->queue <= short_queue && now < rules_.deadline()) {
            const auto holders = client_.holders(pool_.id, holders_limit);
            const auto* view = std::get_if<wire::PoolDetails>(&holders);
            view != nullptr ? line_.holders(now, *view) : line_.forget_holders();
        }
        line_.say_place(now);
    }

    // The server keeps the place of a borrower that named its lease, even if it hangs up.
    Acquired leave() {
        const bool is_suspended = requests_.suspension().has_value();
        if (rules_.request().lease) {
            auto trouble = cancel(Borrowing::cancel_limit);
            const bool is_asked = requests_.end() || requests_.suspension();
            if (trouble && is_asked) trouble = insist_on_leaving(*std::move(trouble), time_to_leave());
            if (trouble && is_asked && has_earlier_slots()) trouble = return_and_leave(*std::move(trouble));
            if (trouble) say_still_queued(*trouble);
        }
        if (requests_.end()) return Stopped{requests_.end()->signal};
        if (is_suspended || requests_.suspension()) return Suspended{};
        return EarlierLost{};
    }

    // Whatever was granted in the same moment is returned, but for a lease that the user named: see held().
    // Why a slot may be lent that nobody uses, where that is so.
    std::optional<std::string> cancel(Duration limit) {
        const auto answer = client_.cancel(pool_.id, *rules_.request().lease, limit);
        const auto* done = std::get_if<wire::Cancelled>(&answer);
        if (done && done->cancelled) return std::nullopt;
        if (rules_.is_users_id()) {
            if (done || rules_.may_be_older()) say_named_lease_stays();
            return std::nullopt;
        }
        const auto returned = client_.give_back(pool_.id, *rules_.request().lease, limit);
        const auto* back = std::get_if<wire::Returned>(&returned);
        // A borrow that is read after the return is undone by the cancel alone.
        const bool is_sure = back && (done || back->returned);
        if (!rules_.may_be_older() || is_sure) return std::nullopt;
        return done ? trouble_of<wire::Returned>(returned) : trouble_of<wire::Cancelled>(answer);
    }

    // Before it stops. It has hung up, which a server that answers takes for leaving, but the lease may have
    // been granted, and the answer been lost: nobody could say for how long nobody uses that. Else the place
    // in the queue stays, and so does the lease's id: it is asked for by what may be read late without harm.
    void return_unheard() {
        const bool may_be_granted = rules_.may_be_older() && !rules_.is_users_id();
        rules_.hung_up();
        if (!may_be_granted) return;
        const auto time = time_to_leave();
        const LeaseId id = *rules_.request().lease;
        Backoff backoff;
        for (Duration limit = Borrowing::cancel_limit;;) {
            const Moment asked = BootClock::now();
            const auto answer = client_.keepalive(pool_.id, id, rules_.request().ttl, limit);
            if (const auto* renewed = std::get_if<wire::Renewed>(&answer)) {
                if (!renewed->lease) return;
                HeldLease lease(client_, console_, pool_, {*renewed->lease, rules_.request().ttl, asked});
                lease.give_back(ReturnDeadline(requests_));
                return rules_.left_for_good();
            }
            if (std::holds_alternative<NotRenewable>(answer)) {
                auto trouble = cancel(Borrowing::cancel_limit);
                if (trouble) trouble = insist_on_leaving(*std::move(trouble), time);
                if (trouble && requests_.end()) return;
                if (trouble) say_still_queued(*trouble);
                return rules_.left_for_good();
            }
            const Duration left = time() - BootClock::now();
            if (requests_.end() || !requests_.suspension()) return;
            if (left <= 0s) {
                console_.note(pool_.name + ": " + client_.server().name + " " + trouble_of(answer) +
                              " (if it has lent a slot meanwhile, that frees itself when its ttl ends)");
                return;
            }
            const Duration pause = std::min<Duration>(backoff.next(), left);
            poll(nullptr, 0, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(pause).count()));
            limit = std::clamp<Duration>(left / 2, last_try, Borrowing::cancel_limit);
        }
    }

    // Until when that is tried once semactl was asked to end, or to stop. Slots of other pools that it has
    // get a part of the time.
    std::function<Moment()> time_to_leave() {
        return [deadline = ReturnDeadline(requests_), has_slots = has_earlier_slots()]() mutable {
            return deadline() - (has_slots ? Returning::short_patience : 2 * last_try);
        };
    }

    bool has_earlier_slots() const { return earlier_ != nullptr && !earlier_->leases().empty(); }

    std::optional<std::string> insist_on_leaving(std::string trouble, const std::function<Moment()>& time) {
        Backoff backoff;
        for (;;) {
            const auto left = [end = time()] { return end - BootClock::now(); };
            if (left() <= 0s) return trouble;
            const Duration pause = std::min<Duration>(backoff.next(), left());
            poll(nullptr, 0, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(pause).count()));
            auto again = cancel(std::clamp<Duration>(left() / 2, last_try, Borrowing::cancel_limit));
            if (!again) return std::nullopt;
            trouble = *std::move(again);
        }
    }

    // The time that is left once those slots are returned.
    std::optional<std::string> return_and_leave(std::string trouble) {
        ReturnDeadline deadline(requests_);
        earlier_->give_back(deadline);
        if (BootClock::now() >= deadline()) return trouble;
        auto again = cancel(last_try);
        if (!again) return std::nullopt;
        return insist_on_leaving(*std::move(again),
                                 [deadline]() mutable { return deadline() - 2 * last_try; });
    }

    void say_still_queued(const std::string& trouble) {
        console_.note(pool_.name + ": cannot leave the queue: " + client_.server().name + " " + trouble +
                      " (unless it got there all the same, a slot that it lends frees itself when its ttl "
                      "ends)");
    }

    Acquired give_up(BorrowAnswer answer) {
        // No later call takes up the place, or a lease whose answer was lost.
        if (const auto limit = rules_.leave_limit(answer)) {
            if (const auto trouble = cancel(*limit)) say_still_queued(*trouble);
        }
        if (auto* trouble = std::get_if<Unreachable>(&answer)) {
            if (was_answered_) trouble->advice.clear();
            return std::move(*trouble);
        }
        if (auto* busy = std::get_if<Busy>(&answer)) return std::move(*busy);
        auto* stranger = std::get_if<Rejected>(&answer);
        if (stranger && !stranger->is_taken_over) return std::move(*stranger);
        if (auto* none = std::get_if<NoSlot>(&answer)) return std::move(*none);
        return NoSlot{};
    }

    static Borrowing::Polls polls(const Acquisition& wanted) {
        Borrowing::Polls polls;
        if (wanted.is_watched) polls.longest = longest_watched_poll;
        return polls;
    }

    Client& client_;
    Console& console_;
    const PoolRef& pool_;
    Keeper* const earlier_;
    Borrowing rules_;
    Requests& requests_;
    WaitingLine line_;
    bool parent_said_ = false;
    bool earlier_lost_ = false;
    /// The server had a place in the queue for it.
    bool was_answered_ = false;
};

}  // namespace

Acquired acquire(Client& client, Console& console, const PoolRef& pool, const Acquisition& wanted,
                 Requests& requests) {
    return Borrower(client, console, pool, wanted, requests).run();
}

}  // namespace sema
