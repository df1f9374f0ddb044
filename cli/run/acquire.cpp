#include "cli/run/acquire.hpp"

#include "cli/backoff.hpp"
#include "cli/run/upkeep.hpp"
#include "cli/run/waiting_line.hpp"

#include <poll.h>

#include <algorithm>
#include <optional>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A server whose limit on waiting is tiny is not asked more often than this.
constexpr Duration shortest_poll = 50ms;
// libcurl counts a call's time in milliseconds of 32 bits.
constexpr Duration longest_call = 24h;
// How long leaving the queue may take.
constexpr Duration cancel_limit = 1s;

class Borrower : public Waiter {
  public:
    Borrower(Client& client, Console& console, const PoolRef& pool, const wire::BorrowRequest& request,
             Signals& signals)
        : client_(client),
          console_(console),
          pool_(pool),
          request_(request),
          signals_(signals),
          line_(console, pool.name, request.wait),
          deadline_(BootClock::now() + request.wait) {}

    Acquired run() {
        for (;;) {
            const Moment asked = BootClock::now();
            request_.wait = std::clamp<Duration>(deadline_ - asked, 0s, longest_call);
            BorrowAnswer answer = client_.borrow(pool_.id, request_, *this);
            if (auto result = settle(answer)) return std::move(*result);

            pause_until(std::min(deadline_, next_try(answer, asked)));
            if (signal_) return leave();
            if (BootClock::now() >= deadline_) return give_up(std::move(answer));
        }
    }

    int wake_fd() const override { return signals_.fd(); }

    bool keep_waiting() override {
        while (const auto signal = signals_.next()) {
            switch (signal->number) {
                case SIGINT:
                case SIGTERM:
                case SIGHUP:
                case SIGQUIT:
                    signal_ = signal->number;
                    return false;
                case SIGTSTP:
                case SIGTTIN:
                case SIGTTOU:
                    signals_.stop_self(signal->number);
                    break;
                default:
                    // There is no command yet that the others could be for.
                    break;
            }
        }
        line_.update(BootClock::now());
        return true;
    }

  private:
    // The result, where the answer is one that asking again would not better.
    std::optional<Acquired> settle(BorrowAnswer& answer) {
        if (auto* grant = std::get_if<Grant>(&answer)) return accept(*grant);
        if (signal_) return leave();
        if (std::holds_alternative<NoSuchPool>(answer)) return NoSuchPool{};
        if (auto* rejected = std::get_if<Rejected>(&answer)) return std::move(*rejected);
        return std::nullopt;
    }

    // The lease, unless there is a reason not to begin anything with it: then it is returned.
    std::optional<Acquired> accept(const Grant& grant) {
        HeldLease lease(client_, console_, pool_, grant);
        // This may stop semactl for a while, so it comes before the look at the clock.
        keep_waiting();
        if (signal_) return Stopped{*signal_};
        // Who names the lease may have been granted it by an earlier call: it is theirs, however old.
        if (!request_.lease && !is_useful(term_of(grant, request_.ttl), BootClock::now())) {
            lease.give_back();
            console_.note(pool_.name + ": the slot came too late to be used");
            return std::nullopt;
        }
        line_.granted(BootClock::now(), grant.lease.position);
        return lease;
    }

    // When to ask again, after there was no slot, one that came too late, or no answer.
    Moment next_try(const BorrowAnswer& answer, Moment asked) {
        if (std::holds_alternative<Grant>(answer)) return BootClock::now() + backoff_.next();
        const auto* trouble = std::get_if<Unavailable>(&answer);
        if (trouble == nullptr) {
            backoff_.reset();
            line_.recovered();
            return asked + shortest_poll;
        }
        const Moment now = BootClock::now();
        const Duration pause = std::max(backoff_.next(), trouble->retry_after.value_or(0s));
        if (now < deadline_) line_.trouble(client_.server().name, trouble->reason);
        return now + pause;
    }

    void pause_until(Moment end) {
        while (!signal_) {
            const Duration left = end - BootClock::now();
            if (left <= 0s) return;
            pollfd wake{signals_.fd(), POLLIN, 0};
            const auto ms = std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(left, 500ms));
            poll(&wake, 1, static_cast<int>(ms.count()));
            keep_waiting();
        }
    }

    // The server keeps the place of a borrower that named its lease, even if it hangs up.
    Stopped leave() {
        if (request_.lease) client_.cancel(pool_.id, *request_.lease, cancel_limit);
        return Stopped{*signal_};
    }

    static Acquired give_up(BorrowAnswer answer) {
        if (auto* trouble = std::get_if<Unavailable>(&answer)) return std::move(*trouble);
        if (auto* none = std::get_if<NoSlot>(&answer)) return std::move(*none);
        return NoSlot{};
    }

    Client& client_;
    Console& console_;
    const PoolRef& pool_;
    wire::BorrowRequest request_;
    Signals& signals_;
    WaitingLine line_;
    Moment deadline_;
    Backoff backoff_;
    std::optional<int> signal_;
};

}  // namespace

Acquired acquire(Client& client, Console& console, const PoolRef& pool, const wire::BorrowRequest& request,
                 Signals& signals) {
    return Borrower(client, console, pool, request, signals).run();
}

}  // namespace sema
