#pragma once

#include "client/borrowing.hpp"
#include "client/library/core.hpp"

#include <sema/acquire_options.hpp>
#include <tl/expected.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace sema {
inline namespace v1 {
namespace detail {

/// One acquire: by the rules of Borrowing, on the client's thread. It takes no thread while it waits, and a
/// connection only while it has a place (Core::enter()).
class Acquiring : public std::enable_shared_from_this<Acquiring> {
  public:
    using Done = std::function<void(const Failure&, std::shared_ptr<Held>)>;

    /// What an acquire asks for, in this side's words.
    struct Wish {
        PoolId pool;
        wire::BorrowRequest request;
        bool is_users_id = false;
        bool renews = true;
        Duration grace{};
    };
    /// Servers name what they lend for in whole seconds, rounded down: nothing is left of less.
    static constexpr Duration shortest_ttl = std::chrono::seconds(1);
    /// `wait` is how long the call waits. The error is the option that is out of range, as the interface
    /// names it.
    static tl::expected<Wish, const char*> wish_of(const PoolId& pool, const acquire_options& options,
                                                   Duration wait);

    Acquiring(std::shared_ptr<Core> core, Wish wish, Done done);

    // All on the client's thread.

    void begin();
    /// It has got its place.
    void ask();
    /// Leaves the queue at once.
    void cancel(std::error_code why);

    /// It waits for a place, as one of this number.
    void wait_as(std::uint64_t arrival) { arrival_ = arrival; }
    /// 0 where it never did.
    std::uint64_t arrival() const { return arrival_; }

    const PoolId& pool() const { return wish_.pool; }
    int priority() const { return wish_.request.priority; }

  private:
    void take_in(BorrowAnswer answer, Moment asked);
    void accept(const Grant& grant);
    void ask_again();
    void judge(Borrowing::Rest rest);
    /// How long finding out how much is left of a lease may take.
    Duration rest_limit() const { return std::min(rules_->renewal_limit(), core_->call_limit()); }
    void keep();
    void come_back_later(BorrowAnswer answer, Moment asked);
    void give_up(const BorrowAnswer& answer);
    void leave_queue();
    void finish(const Failure& why, std::shared_ptr<Held> lease = nullptr);

    const std::shared_ptr<Core> core_;
    const Wish wish_;
    Done done_;
    std::optional<Borrowing> rules_;
    /// A lease that is not known to be as new.
    std::optional<Borrowing::Offer> offer_;
    Engine::Ticket call_ = 0;
    Engine::Timer timer_{};
    std::uint64_t arrival_ = 0;
    /// A call before the one that is under way may have left a place at the server, or been granted a lease.
    bool may_be_known_ = false;
};

}  // namespace detail
}  // namespace v1
}  // namespace sema
