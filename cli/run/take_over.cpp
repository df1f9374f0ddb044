#include "cli/run/take_over.hpp"

#include "cli/run/return_deadline.hpp"
#include "client/backoff.hpp"
#include "common/overloaded.hpp"

#include <poll.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A call that is not answered by then is made again.
constexpr Duration longest_call = 5s;
// How long a look at the pool may take, and returning the lease after a signal.
constexpr Duration last_call = 1s;
constexpr Duration shortest_pause = 100ms;
// Where no semad was heard yet, another answer may come from another server.
constexpr Duration patience_with_strangers = 30s;
// Less could not be distinguished from no_time by the whole seconds of an answer.
constexpr Duration shortest_renewal = 2s;
// The ttl of a lease that is borrowed by mistake: see Successor::ask_for_details().
constexpr Duration no_time = 1ms;

class Successor : public WaitControl {
  public:
    Successor(Client& client, Console& console, const PoolRef& pool, const Handover& wanted, Signals& signals)
        : client_(client), console_(console), pool_(pool), wanted_(wanted), requests_(signals) {}

    TakenOver run() {
        Backoff backoff;
        for (bool is_said = false;; is_said = true) {
            TakenOver result = attempt();
            if (requests_.end()) return leave(std::move(result));
            const auto trouble = passing_trouble(result);
            const Duration left = begin_ + wanted_.patience - BootClock::now();
            if (!trouble || left <= 0s) return result;
            if (!is_said)
                console_.note(pool_.name + ": cannot take the lease over yet: " + client_.server().name +
                              " " + trouble->reason + " (trying again for up to " +
                              describe(wanted_.patience) + ")");
            pause(backoff.next(trouble->retry_after, left, shortest_pause));
            if (requests_.end()) return leave(std::move(result));
        }
    }

    int wake_fd() const override { return requests_.fd(); }

    bool keep_waiting() override {
        requests_.take_in();
        while (!requests_.end() && requests_.suspension()) {
            // The lease's time runs on meanwhile, which is noticed when its end is looked at.
            requests_.suspend();
            requests_.take_in();
        }
        if (const auto& end = requests_.end()) {
            if (end->parent_is_gone && !std::exchange(parent_said_, true))
                console_.note(pool_.name + ": the process that started semactl is gone, returning the lease");
            return false;
        }
        return true;
    }

  private:
    TakenOver attempt() {
        const Moment asked = BootClock::now();
        const auto renewed = renew();
        if (!renewed) return Stopped{};
        return std::visit(Overloaded{[&](const wire::Renewed& answer) {
                                         return answer.lease ? ask_for_details(asked, &*answer.lease)
                                                             : say_over();
                                     },
                                     [&](const NotRenewable&) { return ask_for_details(asked, nullptr); },
                                     [](const auto& trouble) -> TakenOver { return trouble; }},
                          *renewed);
    }

    // Nothing after a signal.
    std::optional<KeepaliveAnswer> renew() {
        client_.begin_keepalive(pool_.id, wanted_.lease, std::max(wanted_.ttl, shortest_renewal),
                                longest_call, wanted_.fence);
        for (;;) {
            if (auto answer = client_.keepalive_answer()) return answer;
            client_.wait({requests_.fd()}, longest_round());
            if (!keep_waiting()) {
                client_.drop_keepalive();
                return std::nullopt;
            }
        }
    }

    // The lease with all that a borrower is sent: the answer to a borrow under its id while it is held. Where
    // it has ended since it was renewed, such a borrow might get a slot that is free. So it asks for the
    // shortest time: what it gets then is over at once, and shows by that that it is not the lease.
    TakenOver ask_for_details(Moment asked, const wire::LeaseGrant* renewed) {
        wire::BorrowRequest request{no_time, 0s};
        request.lease = wanted_.lease;
        request.extended = true;
        BorrowAnswer answer = client_.borrow(pool_.id, request, *this);
        return std::visit(Overloaded{[&](Grant& grant) { return accept(grant, asked, renewed); },
                                     [](NoSlot&) -> TakenOver { return LeaseOver{}; },
                                     [](Left&) -> TakenOver { return Stopped{}; },
                                     [](auto& trouble) -> TakenOver { return std::move(trouble); }},
                          answer);
    }

    TakenOver accept(Grant grant, Moment asked, const wire::LeaseGrant* renewed) {
        if (grant.lease.expires_in <= 0) return LeaseOver{};
        const auto fence = grant.lease.fence();
        if (wanted_.fence && fence && *fence != *wanted_.fence) return LeaseOver{};
        grant.ttl = std::chrono::seconds(grant.lease.expires_in);
        if (renewed != nullptr) {
            grant.asked = asked;
            grant.ttl = granted_ttl(renewed->expires_in, std::max(wanted_.ttl, shortest_renewal));
            grant.lease.expires_in = renewed->expires_in;
            grant.lease.expires_at_unix = renewed->expires_at_unix;
        }
        console_.detail(pool_.name + ": took over position " + std::to_string(grant.lease.position));
        return HeldLease(client_, console_, pool_, grant);
    }

    // That a lease is not held is said of one of a pool too that is not there.
    TakenOver say_over() {
        if (std::holds_alternative<NoSuchPool>(client_.inspect(pool_.id, last_call))) return NoSuchPool{};
        return LeaseOver{};
    }

    // The lease was handed over to this semactl, and nobody else will return it.
    TakenOver leave(TakenOver result) {
        const Stopped stopped{requests_.end()->signal};
        ReturnDeadline deadline(requests_);
        if (auto* lease = std::get_if<HeldLease>(&result)) {
            lease->give_back(deadline);
            return stopped;
        }
        Backoff backoff;
        for (;;) {
            const Moment give_up = deadline();
            const Duration left = give_up - BootClock::now();
            const auto answer =
                client_.give_back(pool_.id, wanted_.lease,
                                  std::clamp<Duration>(left / 2, shortest_pause, last_call), wanted_.fence);
            if (std::holds_alternative<wire::Returned>(answer)) return stopped;
            const auto* refused = std::get_if<Rejected>(&answer);
            const bool may_pass = refused == nullptr || (refused->is_foreign && !refused->is_handshake);
            if (may_pass && BootClock::now() + shortest_pause < give_up) {
                // The last try has its time.
                const Duration rest = give_up - BootClock::now() - 2 * shortest_pause;
                wait_for(std::clamp<Duration>(rest, 0s, std::min<Duration>(backoff.next(), last_call)));
                continue;
            }
            std::visit(Overloaded{[](const wire::Returned&) {},
                                  [&](const auto& why) {
                                      console_.note(pool_.name +
                                                    ": cannot return the lease: " + client_.server().name +
                                                    " " + predicate(why) + " (it ends when its ttl does)");
                                  }},
                       answer);
            return stopped;
        }
    }

    // Or until there is a signal.
    void wait_for(Duration time) const {
        pollfd wake{requests_.fd(), POLLIN, 0};
        poll(&wake, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(time).count()));
    }

    struct Trouble {
        std::string reason;
        std::optional<Duration> retry_after{};
    };
    // Why asking again may help, where it may.
    std::optional<Trouble> passing_trouble(const TakenOver& result) const {
        if (const auto* busy = std::get_if<Busy>(&result))
            return Trouble{predicate(*busy), busy->retry_after};
        if (const auto* away = std::get_if<Unreachable>(&result))
            return Trouble{predicate(*away), away->retry_after};
        const auto* rejected = std::get_if<Rejected>(&result);
        const bool may_pass = rejected != nullptr && rejected->is_foreign && !rejected->is_handshake &&
                              BootClock::now() - begin_ < patience_with_strangers;
        return may_pass ? std::optional(Trouble{predicate(*rejected)}) : std::nullopt;
    }

    void pause(Duration time) {
        const Moment end = BootClock::now() + time;
        for (;;) {
            const Duration left = end - BootClock::now();
            if (left <= 0s) return;
            wait_for(std::min(left, longest_round()));
            if (!keep_waiting()) return;
        }
    }

    Client& client_;
    Console& console_;
    const PoolRef& pool_;
    const Handover& wanted_;
    Requests requests_;
    const Moment begin_ = BootClock::now();
    bool parent_said_ = false;
};

}  // namespace

TakenOver take_over(Client& client, Console& console, const PoolRef& pool, const Handover& wanted,
                    Signals& signals) {
    return Successor(client, console, pool, wanted, signals).run();
}

}  // namespace sema
