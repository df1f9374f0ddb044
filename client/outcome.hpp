#pragma once

#include "common/durations.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace sema {

/// The server can't be reached at the moment, or something before it can't. Trying again later is safe and
/// may help.
struct Unreachable {
    /// Goes on from "SERVER is not available: ".
    std::string reason;
    /// How long the server asked to be left alone, where it did.
    std::optional<Duration> retry_after{};
    /// What to look at, where that is plain.
    std::string advice{};
    /// Whether the server may have got the request, and done what that asks for.
    bool may_be_done = true;
};

/// The server was reached, and said that it can't do it at the moment: it has no room for more, it is about
/// to stop, or its store fails. Trying again later is safe and may help.
struct Busy {
    /// Goes on from "SERVER is ".
    std::string reason;
    std::optional<Duration> retry_after{};
    bool may_be_done = false;
};

/// What came back is an answer that trying again would not change: the request was refused, or the answer
/// is none that a semad gives.
struct Rejected {
    /// Goes on from "SERVER ".
    std::string reason;
    /// Whether it is an answer that no semad gives.
    bool is_foreign = false;
    /// Whether nothing was asked, as the two sides do not agree on TLS.
    bool is_handshake = false;
    bool may_be_done = true;
    /// Another call waits in this one's place, under the same lease's id.
    bool is_taken_over = false;
    /// Somebody else took the caller out of the queue.
    bool is_cancelled = false;
};

/// What goes on from the server's name, in a message.
inline std::string predicate(const Unreachable& why) {
    return "is not available: " + why.reason;
}
inline std::string predicate(const Busy& why) {
    return "is " + why.reason;
}
inline std::string predicate(const Rejected& why) {
    return why.reason;
}

/// The WaitControl ended the call before an answer came.
struct Left {};

/// Decides how long a call goes on that may take long.
class WaitControl {
  public:
    virtual ~WaitControl() = default;
    /// A descriptor that becomes readable when keep_waiting() should be called.
    virtual int wake_fd() const = 0;
    /// Called when `wake_fd` is readable, and after `longest_round()` anyway, or sooner. False ends the call.
    virtual bool keep_waiting() = 0;
    virtual Duration longest_round() const { return std::chrono::seconds(1); }
};

}  // namespace sema
