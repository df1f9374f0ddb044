#pragma once

#include "cli/backoff.hpp"
#include "cli/boot_clock.hpp"
#include "cli/client.hpp"

#include <optional>
#include <random>

namespace sema {

/// How long a granted lease surely lasts.
struct LeaseTerm {
    /// The lease doesn't end before this moment.
    Moment safe_until;
    /// What it was granted for.
    Duration ttl{};
};

/// Works out from a grant until when the lease surely lasts.
///
/// The ttl runs from the moment of the grant. That lies after sending the request, and after the last
/// moment at which there was no answer yet, except for the time that an answer is on its way: this is
/// taken to be one second at most, or a tenth of the ttl. Nothing is assumed of how soon an answer was
/// read.
LeaseTerm term_of(const Grant& grant);

/// Whether enough of the lease is left at `now` to begin something with it: half of its ttl. Who asks for
/// a ttl is likely to need it.
bool is_useful(const LeaseTerm& term, Moment now);

/// Keeps a lease alive for as long as a command needs it, and decides when the command must go so that its
/// slot is never lent to the next one while it still runs. Knows no clock, no process and no server: it is
/// told the time and what came of each keepalive, and says what to do.
///
/// - A lease is renewed each third of its ttl, give or take a tenth of that.
/// - A keepalive that fails is tried again, after pauses that double up to five seconds, or a twelfth of the
///   ttl. That is no reason to stop anything: the end of the lease is.
/// - Who slept until shortly before that end, as a machine does, asks once before the command is stopped.
class Upkeep {
  public:
    enum class Step { none, terminate, kill };

    struct Options {
        /// The time that the command gets between TERM and KILL; at most a third of the ttl is used.
        Duration grace{};
        /// What each keepalive asks for; none where the lease is to end when its ttl does.
        std::optional<Duration> keepalive{};
    };

    Upkeep(const LeaseTerm& term, const Options& options, Moment now);

    /// What the lease demands by `now`.
    Step due(Moment now) const;

    /// Whether a keepalive should go out: not while one is under way.
    bool is_keepalive_due(Moment now) const;
    /// One went out. It should not take longer than this.
    Duration begin_keepalive(Moment now);
    /// It was answered at `now`: the lease lasts `expires_in` whole seconds, or up to one more, from the
    /// moment on at which it went out.
    void renewed(Moment now, std::int64_t expires_in);
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

    Moment terminate_at() const { return terminate_at_; }
    Moment kill_at() const { return kill_at_; }

  private:
    void set_end(Moment safe_until);
    Duration until_next();
    bool has_a_try_left(Moment now) const;
    Moment last_try_ends() const;

    Options options_;
    /// The longest that the lease was granted or renewed for. (Towards the longest life that a server allows
    /// a lease, renewals get shorter; the command's time to stop doesn't.)
    Duration ttl_;
    Moment terminate_at_;
    Moment kill_at_;
    Moment keepalive_at_ = Moment::max();
    /// When the one that is under way went out.
    std::optional<Moment> asked_;
    /// The last one was not answered.
    bool is_failing_ = false;
    bool is_cut_ = false;
    Backoff backoff_;
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace sema
