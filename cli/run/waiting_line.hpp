#pragma once

#include "cli/console.hpp"
#include "client/boot_clock.hpp"
#include "client/client.hpp"

#include <optional>
#include <string>
#include <utility>

namespace sema {

/// What is shown while a borrower waits for a slot: on a terminal, as long as this is the job in its
/// foreground, one line that counts; elsewhere one line when the waiting begins, and a sign of life every two
/// minutes: CI systems kill jobs that are silent for ten. Both end with a line that names the position. Where
/// there is no wait, nothing is shown.
class WaitingLine {
  public:
    /// `wait` is how long the borrower is ready to wait in all, from `begin` on.
    WaitingLine(Console& console, std::string pool, Duration wait, Moment begin);

    /// Something to know while waiting, said once and only if there is a wait.
    void hint(std::string text) { hint_ = std::move(text); }

    /// To be called now and then while waiting.
    void update(Moment now);

    /// What the server answered about the borrower's place, and about the holders.
    void place(const NoSlot& none);
    void holders(Moment now, const wire::PoolDetails& view);
    void forget_holders() { longest_held_.reset(); }
    /// Whether any of that would be shown: on the line, or as a line of its own where the rank has changed,
    /// at most each half minute. That one is written by say_place().
    bool has_news(Moment now) const;
    /// Whether the holders are about to be shown, in a sign of life too, so that they are to be asked for.
    bool wants_holders(Moment now) const;
    void say_place(Moment now);

    /// The server is in trouble, and it is tried again: said once per reason. `what` goes on from its name;
    /// `advice` is what to do about it, if that is known.
    void trouble(Moment now, const std::string& server, const std::string& what,
                 const std::string& advice = "");
    /// The trouble, if there was any, is over, since this server has answered: said once.
    void recovered(Moment now, const std::string& server);

    void granted(Moment now, unsigned position);

  private:
    bool is_waiting(Moment now) const;
    void say(Moment now, const std::string& text);
    void begin_waiting(Moment now);
    std::string waited(Moment now) const;
    std::string longest_holder(Moment now) const;
    std::string live_text(Moment now) const;

    Console& console_;
    std::string pool_;
    Duration wait_;
    Moment begin_;
    /// When the last line was written, or the counting one drawn.
    Moment said_;
    std::string hint_;
    bool announced_ = false;
    /// `is not available: REASON`
    std::string trouble_;
    /// `3rd of 7`
    std::string rank_text_;
    /// `3rd of 7, ~4m · 4/4 in use`
    std::string place_;
    /// `, 1 out of service`, where there is one.
    std::string out_;
    struct LongestHeld {
        Moment since;
        std::string by;
    };
    std::optional<LongestHeld> longest_held_;
    std::size_t rank_ = 0;
    std::size_t said_rank_ = 0;
    Moment rank_said_;
    /// How many slots the pool had when it was said that they are too few.
    std::optional<unsigned> said_count_;
};

}  // namespace sema
