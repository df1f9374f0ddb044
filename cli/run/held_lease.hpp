#pragma once

#include "cli/console.hpp"
#include "cli/pool_ref.hpp"
#include "client/client.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace sema {

/// A lease that is ours to give back, which its destructor does at the latest.
/// The client and the console must outlive it.
class HeldLease {
  public:
    HeldLease(Client& client, Console& console, PoolRef pool, Grant grant);
    ~HeldLease();
    HeldLease(HeldLease&& other) noexcept;
    HeldLease& operator=(HeldLease&&) = delete;

    const Grant& grant() const { return grant_; }
    const PoolRef& pool() const { return pool_; }

    /// Whether it is yet to be returned, and not disowned.
    bool is_held() const { return held_; }

    /// Returns the lease; tries again, for a second and a half, where the server can't be reached.
    void give_back();
    /// The same until that deadline (see Returning), or the lease's end.
    void give_back(std::function<Moment()> deadline);

    /// From here on the lease is not returned by this object.
    void disown() { held_ = false; }

  private:
    friend class Returning;
    enum class Tried { done, again };
    Tried try_to_return(Duration limit);
    void say_end(bool is_returned);
    void say_trouble(Duration time);
    void abandon();

    Client* client_;
    Console* console_;
    PoolRef pool_;
    Grant grant_;
    bool held_ = true;
    /// Why the last try failed, and whether one of them may have worked, though its answer was lost.
    std::string trouble_;
    bool may_be_returned_ = false;
    bool trouble_said_ = false;
};

/// Returns leases, one as often as the other: none waits until another is done with. One that is not returned
/// frees itself at the end of its ttl, which is said, and is no failure.
class Returning {
  public:
    /// When all is given up, asked again before each try: the moment may come nearer meanwhile.
    using Deadline = std::function<Moment()>;

    /// Where semactl was not asked to end.
    static constexpr Duration patience = std::chrono::seconds(10);
    /// Where it was.
    static constexpr Duration short_patience = std::chrono::milliseconds(1500);

    explicit Returning(Deadline deadline) : deadline_(std::move(deadline)) {}

    /// The lease surely ends at `ends_at`, and is not tried any longer than that. It must outlive this.
    void add(HeldLease& lease, Moment ends_at) { leases_.push_back({&lease, ends_at}); }

    /// Tries each at least once. Where that takes longer than a second, it is said.
    void run();

  private:
    struct Entry {
        HeldLease* lease;
        Moment ends_at;
    };
    Duration left(const Entry& entry, Moment now) const;
    void try_each(bool is_first);

    const Deadline deadline_;
    std::vector<Entry> leases_;
};

}  // namespace sema
