#include "cli/run/held_lease.hpp"

#include <poll.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

constexpr Duration between_tries = 100ms;

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

void HeldLease::give_back(Duration all_tries) {
    if (!std::exchange(held_, false)) return;
    const Moment give_up = BootClock::now() + all_tries;
    std::string why;
    bool tried_before = false;
    for (Duration left = all_tries; left > 0s; left = give_up - BootClock::now()) {
        const auto answer = client_->give_back(pool_.id, grant_.lease.lease, left);
        if (const auto* done = std::get_if<wire::Returned>(&answer)) {
            // What a try did whose answer was lost is not seen.
            if (done->returned || tried_before)
                console_->detail(pool_.name + ": returned position " + std::to_string(grant_.lease.position));
            else
                console_->note(pool_.name +
                               ": the lease was gone before it was returned (it had expired, "
                               "or the pool was deleted)");
            return;
        }
        if (const auto* rejected = std::get_if<Rejected>(&answer)) {
            why = rejected->reason;
            break;
        }
        why = std::get<Unavailable>(answer).reason;
        tried_before = true;
        poll(nullptr, 0, static_cast<int>(between_tries / 1ms));
    }
    console_->note(pool_.name + ": cannot return the slot to " + client_->server().name + ": " + why +
                   " (unless it got there all the same, the slot frees itself when its ttl ends)");
}

}  // namespace sema
