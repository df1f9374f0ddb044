#pragma once

#include "cli/session.hpp"
#include "client/backoff.hpp"

#include <poll.h>

#include <algorithm>
#include <optional>
#include <variant>

namespace sema {

/// For calls that are tried for some seconds more where the server is away: a lease depends on them, and its
/// holder has heard a semad at that address. The default of `--wait`.
inline constexpr Duration usual_insistence = std::chrono::seconds(10);

/// Calls, and calls again with growing pauses while the server is busy or not available, for up to `wait`.
/// Each time `call` is given the time that it may take. Gives the last answer.
template <class Call>
auto insist(Session& session, const PoolRef& pool, Duration wait, Call call) {
    using namespace std::chrono_literals;
    const Moment end = BootClock::now() + wait;
    session.client.expect_semad();
    Backoff backoff;
    for (bool is_said = false;; is_said = true) {
        const Duration left = end - BootClock::now();
        // A request that is lost in silence leaves time for another.
        auto answer = call(wait > 0s ? std::clamp<Duration>(left / 3, 500ms, 3s) : usual_call);
        std::optional<std::string> trouble;
        std::optional<Duration> asked_for;
        if (const auto* busy = std::get_if<Busy>(&answer)) {
            trouble = predicate(*busy);
            asked_for = busy->retry_after;
        } else if (const auto* away = std::get_if<Unreachable>(&answer)) {
            trouble = predicate(*away);
            asked_for = away->retry_after;
        }
        if (!trouble) return answer;
        const Moment now = BootClock::now();
        const Duration pause = backoff.next(asked_for, std::min<Duration>(end - now, 3s), 100ms);
        if (now + pause >= end) return answer;
        if (!is_said)
            session.console.note(pool.name + ": " + session.client.server().name + " " + *trouble +
                                 " (trying again for up to " + describe(wait) + ")");
        poll(nullptr, 0, static_cast<int>(pause / 1ms));
    }
}

}  // namespace sema
