#include "cli/run/waiting_line.hpp"

#include "cli/queue_place.hpp"
#include "cli/text_width.hpp"

#include <algorithm>

namespace sema {
namespace {

using namespace std::chrono_literals;

// An answer that takes this long is one that is waited for.
constexpr Duration until_shown = 500ms;

// How often a change of rank is worth a line.
constexpr Duration between_ranks = 30s;

// A shorter part of a name, with what stands before it, does not tell two names apart.
constexpr std::size_t shortest_name = 9;

constexpr Duration longest_silence = 2min;

}  // namespace

WaitingLine::WaitingLine(Console& console, std::string pool, Duration wait, Moment begin)
    : console_(console),
      pool_(std::move(pool)),
      wait_(wait),
      begin_(begin),
      said_(begin),
      rank_said_(begin) {}

void WaitingLine::say(Moment now, const std::string& text) {
    console_.note(text);
    said_ = now;
}

std::string WaitingLine::waited(Moment now) const {
    return describe(now - begin_) + " of " + describe(wait_);
}

bool WaitingLine::is_waiting(Moment now) const {
    return announced_ || (wait_ > 0s && now - begin_ >= until_shown);
}

void WaitingLine::update(Moment now) {
    if (!is_waiting(now)) return;
    begin_waiting(now);
    if (console_.is_live()) {
        console_.live(live_text(now));
        said_ = now;
    } else if (now - said_ >= longest_silence) {
        say(now, "still waiting for " + pool_ + ", " + waited(now) + ": " +
                     (trouble_.empty() ? place_ + out_ + longest_holder(now) : "the server " + trouble_));
    }
}

void WaitingLine::begin_waiting(Moment now) {
    if (std::exchange(announced_, true)) return;
    if (!console_.is_live()) say(now, "waiting for " + pool_ + ", up to " + describe(wait_));
    if (!hint_.empty()) say(now, hint_);
}

// As much as fits into the terminal's width. The holder's name is shortened first, then all that was heard of
// the queue, and then the pool's name: the time and what is wrong stay to the last.
std::string WaitingLine::live_text(Moment now) const {
    const std::size_t columns = console_.live_columns();
    const std::string time = waited(now) + (trouble_.empty() ? "" : " (the server " + trouble_ + ")");
    const auto with = [&](const std::string& pool, const std::string& place) {
        return "waiting for " + pool + ": " + place + (place.empty() ? "" : " · ") + time;
    };
    const auto room_beside = [&](const std::string& text) {
        return columns - std::min(columns, width_of(text));
    };
    // During an outage that is out of date.
    if (trouble_.empty() && longest_held_) {
        const std::string held = place_ + out_ + " · longest held " + describe(now - longest_held_->since);
        const std::string& by = longest_held_->by;
        const std::size_t room = room_beside(with(pool_, held));
        if (width_of(with(pool_, held + by)) <= columns) return with(pool_, held + by);
        if (room >= shortest_name) return with(pool_, held + cut_to(by, room));
        if (room > 0) return with(pool_, held);
    }
    for (const std::string& place : {trouble_.empty() ? place_ + out_ : rank_text_, rank_text_}) {
        if (width_of(with(pool_, place)) <= columns) return with(pool_, place);
    }
    return with(cut_to(pool_, std::max(shortest_name, room_beside(with("", "")))), "");
}

void WaitingLine::place(const NoSlot& none) {
    if (!none.details) return;
    const auto& [error, rank, queue, in_use, count, eta] = *none.details;
    const std::string about = eta ? ", ~" + describe(std::chrono::seconds(*eta)) : "";
    place_ = rank_of(none) + about + " · " + std::to_string(in_use) + "/" + std::to_string(count) + " in use";
    rank_ = rank;
    rank_text_ = rank_of(none);
    if (wait_ == 0s || count >= none.slots || said_count_ == count) return;
    said_count_ = count;
    console_.note(pool_ + ": the pool has " + only_slots(count) + ", and " + std::to_string(none.slots) +
                  (none.slots == 1 ? " is" : " are") +
                  " asked for: waiting until it has as many (semactl resize)");
}

bool WaitingLine::has_news(Moment now) const {
    if (console_.is_live()) return true;
    const bool is_due = said_rank_ == 0 || now - rank_said_ >= between_ranks;
    return announced_ && rank_ != said_rank_ && is_due;
}

bool WaitingLine::wants_holders(Moment now) const {
    return has_news(now) || (announced_ && now - said_ >= longest_silence - between_ranks);
}

void WaitingLine::say_place(Moment now) {
    if (!has_news(now)) return;
    if (!console_.is_live()) say(now, "waiting for " + pool_ + ": " + place_ + out_ + longest_holder(now));
    rank_said_ = now;
    said_rank_ = rank_;
}

void WaitingLine::holders(Moment now, const wire::PoolDetails& view) {
    out_ = view.out.empty() ? "" : ", " + std::to_string(view.out.size()) + " out of service";
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

void WaitingLine::trouble(Moment now, const std::string& server, const std::string& what,
                          const std::string& advice) {
    if (trouble_ == what) return;
    trouble_ = what;
    say(now, server + " " + what + " (" + (advice.empty() ? "" : advice + "; ") +
                 "trying again until --wait " + describe(wait_) + " is over)");
    announced_ = true;
}

void WaitingLine::recovered(Moment now, const std::string& server) {
    if (!trouble_.empty()) say(now, server + " is available again");
    trouble_.clear();
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
