#pragma once

#include "cli/boot_clock.hpp"
#include "cli/client.hpp"

namespace sema {

/// How long a granted lease surely lasts.
struct LeaseTerm {
    /// The lease doesn't end before this moment.
    Moment safe_until;
    /// What it was granted for.
    Duration ttl{};
};

/// Works out, from a grant and from the ttl that was asked for, until when the lease surely lasts.
///
/// The ttl runs from the moment of the grant. That lies after sending the request, and after the last
/// moment at which there was no answer yet, except for the time that an answer is on its way: this is
/// taken to be one second at most, or a tenth of the ttl. Nothing is assumed of how soon an answer was
/// read. The server rounds the seconds it names down; they are only believed over the ttl asked for where
/// they show that the server's limit cut it.
LeaseTerm term_of(const Grant& grant, Duration asked_ttl);

/// Whether enough of the lease is left at `now` to begin something with it: half of its ttl. Who asks for
/// a ttl is likely to need it.
bool is_useful(const LeaseTerm& term, Moment now);

/// Decides when a command must go so that its slot is never lent to the next one while it still runs.
/// Knows no clock and no process: it is told the time, and says what to do.
class Upkeep {
  public:
    enum class Step { none, terminate, kill };

    /// `grace` is the time that the command gets between TERM and KILL; at most a third of the ttl is used.
    Upkeep(const LeaseTerm& term, Duration grace);

    /// What the lease demands by `now`.
    Step due(Moment now) const;

    /// When to ask again: the next moment after `now` at which due() changes its answer.
    Moment next_deadline(Moment now) const;

    Moment terminate_at() const { return terminate_at_; }
    Moment kill_at() const { return kill_at_; }

  private:
    Moment terminate_at_;
    Moment kill_at_;
};

}  // namespace sema
