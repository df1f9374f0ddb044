#pragma once

#include "client/library/core.hpp"
#include "client/upkeep.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <vector>

namespace sema {
inline namespace v1 {
namespace detail {

/// A token that is stopped: nothing that the parent holds is held in a child process.
std::stop_token lost_in_child();

/// What stands behind a lease: its upkeep on the client's thread, and what its holder sees of it from any
/// other. One mutex, under which nothing is called or waited for.
class Held : public std::enable_shared_from_this<Held> {
  public:
    /// What is known of it from its grant on.
    struct Facts {
        PoolId pool;
        LeaseId id;
        std::vector<unsigned> positions{};
        std::optional<std::uint64_t> fence{};
        /// For each position.
        std::vector<std::string> payloads{};
    };

    /// `renewal` is what each keepalive asks for, if there are to be any.
    Held(std::shared_ptr<Core> core, Facts facts, const LeaseTerm& term, Duration grace,
         std::optional<Duration> renewal);

    // ---- any thread

    // In a child process nothing is to be called but these three, is_held() and lost(): at the fork the
    // parent's thread may have been within a callback, which would be waited for, or under the mutex.
    const Facts& known() const { return facts_; }
    Core& client() const { return *core_; }
    /// Keeps it as it is until the child ends.
    void leave_alone() { self_ = shared_from_this(); }
    /// Neither given back, nor lost, as the clock says.
    bool is_held() const noexcept;
    Moment ends_at() const;
    /// Loses it first where its time is over, as after a stop of the process.
    std::stop_token lost();
    void on_lost(std::function<void()> function);
    /// Why it is lost, also where only the clock says so.
    std::error_code reason() const;
    /// From here on its holder is notified of nothing. False where that was so before.
    bool let_go();
    /// Returns it on the client's thread, after let_go(). `done` is called there, or here where the client is
    /// closed.
    void give_back(Duration patience, Core::Returned done);
    /// Leaves it to its ttl, after let_go().
    void abandon();

    // ---- the client's thread

    /// Begins to renew it.
    void keep();
    /// Its client ends: nobody renews it any more.
    void close();

  private:
    /// Notifies its holder, once. Any thread.
    void lose(std::error_code why);
    /// As reason(), under the lock.
    std::error_code loss() const;
    void proceed();
    void ask(Moment now);
    void take_in(const KeepaliveAnswer& answer, Moment now);
    void stop_keeping();
    void publish();
    std::error_code why_ending() const;

    const std::shared_ptr<Core> core_;
    const Facts facts_;

    // Of the client's thread.
    Upkeep upkeep_;
    const Duration ttl_;
    const bool renews_;
    bool is_kept_ = false;
    bool is_not_renewable_ = false;
    /// It is known to be gone, so that it need not be returned.
    bool is_gone_ = false;
    Engine::Ticket keepalive_ = 0;
    Engine::Timer timer_{};

    mutable std::mutex mutex_;
    Moment ends_at_;
    /// When it cannot be used any more, whatever has become of the thread that renews it.
    Moment over_at_;
    std::error_code reason_{};
    bool is_let_go_ = false;
    using Callback = std::stop_callback<std::function<void()>>;
    std::list<std::unique_ptr<Callback>> callbacks_;
    std::stop_source lost_;
    /// In a child process alone.
    std::shared_ptr<Held> self_;
};

}  // namespace detail
}  // namespace v1
}  // namespace sema
