#include "cli/run/held_lease.hpp"

#include "client/backoff.hpp"
#include "common/overloaded.hpp"

#include <poll.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A signal that comes meanwhile is heard after that time.
constexpr Duration longest_try = 2s;
constexpr Duration shortest_try = 200ms;
// Where all have to be tried in less.
constexpr Duration least_try = 20ms;
constexpr Duration longest_pause = 500ms;

// One lost answer is not worth a word.
constexpr Duration until_said = 1s;

}  // namespace

HeldLease::HeldLease(Client& client, Console& console, PoolRef pool, Grant grant)
    : client_(&client), console_(&console), pool_(std::move(pool)), grant_(grant) {}

HeldLease::HeldLease(HeldLease&& other) noexcept
    : client_(other.client_),
      console_(other.console_),
      pool_(std::move(other.pool_)),
      grant_(other.grant_),
      held_(std::exchange(other.held_, false)) {}

HeldLease::~HeldLease() {
    try {
        give_back();
    } catch (const std::exception&) {
        // Out of memory, most likely. The slot frees itself at the end of its ttl.
        held_ = false;
    }
}

void HeldLease::give_back() {
    const Moment give_up = BootClock::now() + Returning::short_patience;
    give_back([give_up] { return give_up; });
}

void HeldLease::give_back(std::function<Moment()> deadline) {
    // Granted or renewed just now, it does not last longer.
    const Moment ends_at = BootClock::now() + std::max(grant_.ttl, Returning::short_patience);
    Returning returning(std::move(deadline));
    returning.add(*this, ends_at);
    returning.run();
}

HeldLease::Tried HeldLease::try_to_return(Duration limit) {
    const auto again = [this](const auto& why) {
        trouble_ = predicate(why);
        may_be_returned_ = may_be_returned_ || why.may_be_done;
        return Tried::again;
    };
    return std::visit(Overloaded{[&](const wire::Returned& done) {
                                     say_end(done.returned || may_be_returned_);
                                     return Tried::done;
                                 },
                                 [&](const Busy& why) { return again(why); },
                                 [&](const Unreachable& why) { return again(why); },
                                 [&](const Rejected& why) {
                                     trouble_ = predicate(why);
                                     abandon();
                                     return Tried::done;
                                 }},
                      client_->give_back(pool_.id, grant_.lease.lease, limit, grant_.lease.fence()));
}

void HeldLease::say_end(bool is_returned) {
    held_ = false;
    const std::string text = pool_.name + ": returned position " + std::to_string(grant_.lease.position);
    if (!is_returned)
        console_->note(
            pool_.name +
            ": the lease was gone before it was returned (it had expired, or the pool was deleted)");
    else if (trouble_said_)
        console_->note(text);
    else
        console_->detail(text);
}

void HeldLease::say_trouble(Duration time) {
    if (time <= 0s) return;
    trouble_said_ = true;
    console_->note(pool_.name + ": cannot return the slot: " + client_->server().name + " " + trouble_ +
                   " (trying again for " + (time < 1s ? "less than 1s" : "up to " + describe(time)) + ")");
}

void HeldLease::abandon() {
    held_ = false;
    console_->note(pool_.name + ": cannot return the slot: " + client_->server().name + " " + trouble_ +
                   " (unless it got there all the same, the slot frees itself when its ttl ends)");
}

Duration Returning::left(const Entry& entry, Moment now) const {
    return std::min(deadline_(), entry.ends_at) - now;
}

void Returning::run() {
    std::erase_if(leases_, [](const Entry& entry) { return !entry.lease->held_; });
    const Moment begin = BootClock::now();
    bool is_said = false;
    Backoff backoff;
    for (bool is_first = true; !leases_.empty(); is_first = false) {
        try_each(is_first);
        if (leases_.empty()) return;
        const Moment now = BootClock::now();
        if (!is_said && now - begin >= until_said) {
            is_said = true;
            for (const Entry& entry : leases_)
                entry.lease->say_trouble(left(entry, now));
        }
        Duration pause = std::min(backoff.next(), longest_pause);
        for (const Entry& entry : leases_)
            pause = std::clamp<Duration>(left(entry, now), 0s, pause);
        poll(nullptr, 0, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(pause).count()));
    }
}

void Returning::try_each(bool is_first) {
    const auto all = static_cast<int>(leases_.size());
    int untried = all;
    std::erase_if(leases_, [&](const Entry& entry) {
        const Duration time = left(entry, BootClock::now());
        const Duration share = std::max(time / untried--, least_try);
        if (time <= 0s && !is_first) {
            entry.lease->abandon();
            return true;
        }
        // Room for all of them, and for one more try each.
        const Duration limit = std::clamp(time / (2 * all), shortest_try, longest_try);
        return entry.lease->try_to_return(std::min(limit, share)) == HeldLease::Tried::done;
    });
}

}  // namespace sema
