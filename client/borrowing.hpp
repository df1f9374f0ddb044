#pragma once

#include "client/backoff.hpp"
#include "client/boot_clock.hpp"
#include "client/client.hpp"

#include <optional>

namespace sema {

/// The rules by which a borrower waits for its slots: how long each call on the server takes, when the next
/// one is made, and what its answer is worth. Knows no clock and no server: it is given the time and the
/// answers.
///
/// A request that names its lease waits in calls of at most 10 seconds, between which its place in the queue
/// stays: proxies cut those that are silent for longer. Trouble with the server is tried again until the wait
/// is over, with growing pauses.
class Borrowing {
  public:
    /// What to do with a lease of which a part may be over when it comes: nothing but the time since it was
    /// asked for shows how much. One that cannot be renewed then is returned where less than half is left,
    /// and another one is asked for.
    enum class Stale {
        accept,   ///< no more than to ask what is left: one that the user named may be an old one
        replace,  ///< it is renewed, since it is to have its whole ttl
        renew,    ///< where it should have been renewed by then it is renewed
    };

    /// Proxies cut a silent call after 30 or 60 seconds. And a call that is lost, or whose server vanished,
    /// is to be noticed while the place is still kept: 15 seconds, usually.
    static constexpr Duration longest_poll = std::chrono::seconds(10);
    /// An answer without a slot names the borrower's place: to show it soon, begin with a shorter call.
    static constexpr Duration first_poll = std::chrono::seconds(1);
    /// What is left of a wait at least. Where there was none a borrow is a trial, which may take longer.
    static constexpr Duration least_wait = std::chrono::milliseconds(1);
    /// How long leaving the queue may take, and how long where the server did not answer before.
    static constexpr Duration cancel_limit = std::chrono::seconds(1);
    static constexpr Duration late_cancel_limit = std::chrono::milliseconds(500);

    struct Polls {
        Duration first = first_poll;
        Duration longest = longest_poll;
    };

    /// The whole wait is the request's `wait`, from `begin` on.
    Borrowing(wire::BorrowRequest request, Stale stale, Polls polls, Moment begin);

    const wire::BorrowRequest& request() const { return request_; }
    Moment begin() const { return begin_; }
    Moment deadline() const { return deadline_; }
    /// The lease's id was not made up here: it may be held before, by another borrower that knows it.
    bool is_users_id() const { return stale_ == Stale::accept; }

    /// What to ask for next.
    const wire::BorrowRequest& next_call(Moment now);
    /// When to do that, after there was no slot, one that came too late, or no answer. `asked` is when the
    /// last call was made.
    Moment next_try(const BorrowAnswer& answer, Moment asked, Moment now);

    /// Whether it is an answer that asking again would not better. Grants aside.
    bool is_final(const BorrowAnswer& answer, Moment now);

    /// The call was ended before its answer came.
    void left() { may_be_older_ = request_.lease.has_value(); }
    /// The same, and it may be read by the server later.
    void hung_up() { may_be_older_ = is_unread_ = request_.lease.has_value(); }

    /// A grant, and for how long one is granted.
    struct Offer {
        Grant grant;
        Duration whole{};
    };
    Offer offer(Grant grant) const;
    /// Whether nothing can be gone of the lease that would be missed.
    bool is_as_new(const Offer& offer, Moment now) const;

    // Where it is not, how long it lasts from now on is found out: by renewing it, or, where that is not to
    // be, by the same borrow once more, whose answer names the time that is left.
    enum class Rest { known, none, unknown };
    bool may_renew() const { return stale_ != Stale::accept; }
    Duration renewal_limit() const;
    /// Nothing where it cannot be renewed.
    std::optional<Rest> renewed(Offer& offer, Moment asked, const KeepaliveAnswer& answer) const;
    bool may_ask_again(const Offer& offer) const;
    const wire::BorrowRequest& call_for_rest();
    Rest asked_again(Offer& offer, const BorrowAnswer& answer) const;
    /// Whether enough is left to begin something. A borrower that asks for a ttl is likely to need it.
    bool is_enough(const Offer& offer, Rest rest, Moment now) const;

    /// It was returned, as it came too late.
    void gave_back(const Grant& grant);
    /// A lease that may have been granted was returned, or its place left, as far as that can be done. The
    /// next call queues anew.
    void left_for_good();

    /// A call before this one may have been granted the lease, and its answer been lost.
    bool may_be_older() const { return may_be_older_; }
    /// Once the wait is over with this answer: how long to try to leave the queue, and to return what may
    /// have been granted; nothing where no later call can take up a place or a lease.
    std::optional<Duration> leave_limit(const BorrowAnswer& answer) const;

  private:
    bool is_echo(const Rejected& why);
    bool may_pass(const Rejected& why, Moment now) const;
    template <class Trouble>
    Moment after(const Trouble& trouble, Moment now);

    wire::BorrowRequest request_;
    const Stale stale_;
    Polls polls_;
    const Moment begin_;
    const Moment deadline_;
    Backoff backoff_;
    /// How long the next call waits.
    Duration poll_;
    bool may_be_older_ = false;
    /// A call before this one was not answered, and may be read yet.
    bool is_unread_ = false;
};

}  // namespace sema
