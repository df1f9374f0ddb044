#pragma once

#include "client/backoff.hpp"
#include "client/boot_clock.hpp"
#include "client/client.hpp"

#include <optional>

namespace sema {

/// How long a granted lease surely lasts.
struct LeaseTerm {
    /// The lease doesn't end before this moment.
    Moment safe_until;
    /// What it was granted for.
    Duration ttl{};
};

/// Until when a lease surely lasts: for its ttl from the moment on at which it was asked for. Nothing is
/// assumed of how soon the grant was answered, nor of how long the answer was on its way.
LeaseTerm term_of(const Grant& grant);

/// Whether no renewal of the lease is overdue: a command that is begun with it gets over the same outages of
/// the server as later on.
bool is_fresh(const LeaseTerm& term, Moment now);

/// Whether the lease has all but its whole ttl left, for something that is begun with it and not renewed:
/// what is missing is the time that a call takes, one second at most, or a tenth of the ttl.
bool is_whole(const LeaseTerm& term, Moment now);

/// The longest time between TERM and KILL that fits in a lease: a sixth of its ttl.
Duration longest_grace(Duration ttl);

/// Keeps a lease alive for as long as a command needs it, and decides when the command must go so that its
/// slot is never lent to the next one while it still runs. Knows no clock, no process and no server: it is
/// given the time and the result of each keepalive, and says what to do.
///
/// - A lease is renewed each fifth of its ttl (150 ms sooner, or a twentieth of the ttl), or up to a sixth of
///   that sooner.
/// - A keepalive that fails is tried again, after pauses that double up to five seconds. That is no reason to
///   stop anything: the end of the lease is.
/// - A server that is away for up to half of the ttl harms nothing, whenever that begins: the first keepalive
///   of those that fail went out after a fifth of the ttl at the latest, and a command that must be stopped
///   is asked to after three quarters of it at the earliest. The closer that moment, the shorter are the
///   tries and the pauses, so that some fit in between. This holds from a ttl of 3 s on, where the server
///   answers within a hundredth of it.
/// - After a sleep of the machine until shortly before that end, it asks once before the command is stopped.
class Upkeep {
  public:
    enum class Step { none, terminate, kill };

    struct Options {
        /// The time that the command gets between TERM and KILL, as far as it fits: see longest_grace().
        Duration grace{};
        /// What each keepalive asks for; none where the lease is to end when its ttl does.
        std::optional<Duration> keepalive{};
    };

    Upkeep(const LeaseTerm& term, const Options& options);

    /// What the lease demands by `now`.
    Step due(Moment now) const;

    /// Whether a keepalive should go out: not while one is under way.
    bool is_keepalive_due(Moment now) const;
    /// One went out. It should not take longer than this.
    Duration begin_keepalive(Moment now);
    /// It was answered: the lease lasts `expires_in` whole seconds, or up to one more, from the moment on at
    /// which it went out.
    void renewed(std::int64_t expires_in);
    /// No answer came that says anything of the lease.
    void failed(Moment now);
    /// The lease can't be renewed: it ends when it ends.
    void stop_renewing();
    /// The lease has ended already, and demands nothing any more.
    void ended();

    /// When to ask again: the next moment after `now` at which due() or is_keepalive_due() changes its
    /// answer.
    Moment next_deadline(Moment now) const;

    /// Whether the lease is to be renewed.
    bool renews() const { return options_.keepalive.has_value(); }
    /// Whether the server renewed it for less than was asked for.
    bool is_cut() const { return is_cut_; }

    /// What killing a command and all its processes may take, without the lease ending before.
    Duration kill_time() const;

    Moment terminate_at() const { return terminate_at_; }
    Moment kill_at() const { return kill_at_; }
    /// The lease is held until then.
    Moment ends_at() const { return ends_at_; }

  private:
    void set_end(Moment safe_until);
    void renew_after(Moment granted_at);
    Moment next_end(Moment now) const;
    bool has_a_try_left(Moment now) const;
    Moment last_try_ends() const;

    Options options_;
    /// What the lease is granted and renewed for. (Towards the longest life that a server allows a lease,
    /// renewals get shorter; the command's time to stop doesn't.)
    Duration ttl_;
    /// What it was granted or renewed for the last time.
    Duration granted_;
    Moment ends_at_;
    Moment terminate_at_;
    Moment kill_at_;
    Moment keepalive_at_ = BootClock::never;
    /// When the one that is under way went out.
    std::optional<Moment> asked_;
    /// The last one was not answered.
    bool is_failing_ = false;
    bool is_cut_ = false;
    Backoff backoff_;
};

}  // namespace sema
