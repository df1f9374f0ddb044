/// @file
/// What an acquire asks for.
#pragma once

#include <chrono>
#include <string>

namespace sema {
inline namespace v1 {

/// A wait that no time limits.
inline constexpr std::chrono::nanoseconds forever = std::chrono::nanoseconds::max();

/// What an acquire asks for.
struct acquire_options {
    /// How long the lease lasts without a renewal, >= 1 s: servers name what they lend for in whole seconds,
    /// rounded down. A program that dies leaves its slot taken for that long at most, and an outage of the
    /// server for up to half of it harms no holder. The server may cut it (`--max-ttl`).
    std::chrono::nanoseconds ttl = std::chrono::seconds(60);
    /// How long `acquire` and `async_acquire` wait for a slot, >= 0, in elapsed time. The server's own limit
    /// on waiting does not cut it. The `try_` calls do not look at it.
    std::chrono::nanoseconds wait = forever;
    /// How many slots, all or none, >= 1.
    unsigned slots = 1;
    /// -100..100: a higher one comes first, and among equals the borrower that came first.
    int priority = 0;
    /// Names the borrower to everybody who may inspect the pool: at most 256 characters. Empty for none.
    std::string holder{};
    /// A link that is shown with it, such as a job's page: at most 2048 characters. Empty for none.
    std::string holder_url{};
    /// Whether the lease is renewed for as long as it is held. If not, it is lost shortly before its ttl is
    /// over.
    bool renew = true;
    /// How long before the lease's end, at least, lease::lost() fires where it cannot be renewed: what the
    /// holder needs to stop. A sixth of the ttl at most, whatever this says. A second more, or a twelfth of
    /// the ttl where that is less, is spared beside it for a machine that is busy.
    std::chrono::nanoseconds grace = std::chrono::seconds(5);
    /// The UUID that the lease is to have; empty for a fresh one. Where a lease of this id is held in the
    /// pool already, that is what is acquired: by several programs, if they all name it. A secret.
    std::string id{};
};

}  // namespace v1
}  // namespace sema
