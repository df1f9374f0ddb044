#include "cli/run/requests.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

namespace sema {
namespace {

// What a call on the server takes in which no signal is heard, with the pause after it. A process that was
// halted for longer has the rest of its time yet.
constexpr Duration longest_deafness = std::chrono::milliseconds(2500);

}  // namespace

bool Requests::take_in() {
    bool any_ends = false;
    const Moment now = BootClock::now();
    const Moment since = std::max(std::exchange(looked_, now), now - longest_deafness);
    while (const auto signal = signals_.next()) {
        const Request request{signal->number, BootClock::now(), since, signal->parent_is_gone};
        if (ends_waiting(signal->number)) {
            if (!is_echo(request)) {
                any_ends = true;
                last_ = request;
            }
            if (!end_) end_ = request;
            if (!request.parent_is_gone) signals_.forget_parent();
        }
        switch (signal->number) {
            case SIGTSTP:
            case SIGTTIN:
            case SIGTTOU:
                suspension_ = request;
                break;
            case SIGCONT:
                suspension_.reset();
                break;
            default:
                // There is no command that the others could be for.
                break;
        }
    }
    return any_ends;
}

// Often the whole job is asked to end, and semactl's parent ends sooner, or later: that and the first signal
// are one request, as is a signal to semactl and right after that to its group.
bool Requests::is_echo(const Request& request) {
    if (!end_) {
        parent_asked_ = request.parent_is_gone;
        return false;
    }
    if (request.parent_is_gone || std::exchange(parent_asked_, false)) return true;
    return request.signal == last_->signal && request.since - last_->at < same_request;
}

void Requests::suspend() {
    if (const auto request = std::exchange(suspension_, std::nullopt)) signals_.stop_self(request->signal);
}

}  // namespace sema
