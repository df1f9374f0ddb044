#include "cli/run/waiting_line.hpp"

namespace sema {
namespace {

using namespace std::chrono_literals;

// An answer that takes this long is one that is waited for.
constexpr Duration until_shown = 500ms;

}  // namespace

WaitingLine::WaitingLine(Console& console, std::string pool, Duration wait)
    : console_(console), pool_(std::move(pool)), wait_(wait) {}

bool WaitingLine::is_waiting(Moment now) const {
    return announced_ || now - begin_ >= until_shown;
}

void WaitingLine::update(Moment now) {
    if (!is_waiting(now)) return;
    if (console_.is_live()) {
        console_.live("waiting for " + pool_ + ": " + describe(now - begin_) + " of " + describe(wait_) +
                      (trouble_.empty() ? "" : " (" + trouble_ + ")"));
    } else if (!announced_) {
        console_.note("waiting for " + pool_ + ", up to " + describe(wait_));
    }
    announced_ = true;
}

void WaitingLine::trouble(const std::string& server, const std::string& reason) {
    if (trouble_ == reason) return;
    trouble_ = reason;
    console_.note(server + " is not available: " + reason + " (trying again, for " + describe(wait_) +
                  " in all)");
    announced_ = true;
}

void WaitingLine::granted(Moment now, unsigned position) {
    console_.live("");
    const std::string text = pool_ + ": position " + std::to_string(position);
    if (is_waiting(now))
        console_.note(text + ", after " + describe(now - begin_));
    else
        console_.detail(text);
}

}  // namespace sema
