#include "cli/run/waiting_line.hpp"

#include "cli/queue_place.hpp"

#include <algorithm>

namespace sema {
namespace {

using namespace std::chrono_literals;

// An answer that takes this long is one that is waited for.
constexpr Duration until_shown = 500ms;

// How often a change of rank is worth a line.
constexpr Duration between_ranks = 30s;

}  // namespace

WaitingLine::WaitingLine(Console& console, std::string pool, Duration wait)
    : console_(console), pool_(std::move(pool)), wait_(wait) {}

bool WaitingLine::is_waiting(Moment now) const {
    return announced_ || now - begin_ >= until_shown;
}

void WaitingLine::update(Moment now) {
    if (!is_waiting(now)) return;
    if (console_.is_live()) {
        const std::string time = describe(now - begin_) + " of " + describe(wait_);
        console_.live("waiting for " + pool_ + ": " +
                      (place_.empty() ? time : place_ + longest_holder(now) + " · " + time) +
                      (trouble_.empty() ? "" : " (" + trouble_ + ")"));
    } else if (!announced_) {
        console_.note("waiting for " + pool_ + ", up to " + describe(wait_));
    }
    announced_ = true;
}

void WaitingLine::place(const NoSlot& none) {
    if (!none.details) return;
    const auto& [error, rank, queue, in_use, count, eta] = *none.details;
    const std::string about = eta ? ", ~" + describe(std::chrono::seconds(*eta)) : "";
    place_ = rank_of(none) + about + " · " + std::to_string(in_use) + "/" + std::to_string(count) + " in use";
    rank_ = rank;
}

bool WaitingLine::has_news(Moment now) const {
    if (console_.is_live()) return true;
    const bool is_due = told_rank_ == 0 || now - rank_told_ >= between_ranks;
    return announced_ && rank_ != told_rank_ && is_due;
}

void WaitingLine::tell_place(Moment now) {
    if (console_.is_live() || !has_news(now)) return;
    console_.note("waiting for " + pool_ + ": " + place_ + longest_holder(now));
    rank_told_ = now;
    told_rank_ = rank_;
}

void WaitingLine::holders(Moment now, const wire::PoolView& view) {
    longest_held_.reset();
    const auto longest =
        std::min_element(view.holders.begin(), view.holders.end(),
                         [](const auto& a, const auto& b) { return a.granted_at_unix < b.granted_at_unix; });
    if (longest == view.holders.end()) return;
    // By the server's clock, which need not be ours.
    const std::int64_t held = longest->expires_at_unix - longest->expires_in - longest->granted_at_unix;
    const bool is_named = longest->holder && longest->holder->name;
    longest_held_ = {now - std::chrono::seconds(std::max<std::int64_t>(held, 0)),
                     is_named ? " by " + *longest->holder->name : ""};
}

std::string WaitingLine::longest_holder(Moment now) const {
    if (!longest_held_) return "";
    return " · longest held " + describe(now - longest_held_->since) + longest_held_->by;
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
