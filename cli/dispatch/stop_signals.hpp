#pragma once

#include "client/boot_clock.hpp"
#include "client/scheduler/wake.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace sema {

/// TERM, INT and HUP of a program with many threads: from its making on they do nothing but count. To be made
/// before any other thread, so that all of them have these blocked.
class StopSignals {
  public:
    StopSignals();
    /// The signals stay blocked.
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    /// Called from now on when one comes, and once `patience` is over since the first TERM or INT. A thread
    /// of its own does that. With a null function, nothing is called any more.
    void set_reaction(std::function<void()> react, std::optional<Duration> patience = std::nullopt);

    /// How often TERM or INT came.
    int stops() const { return stops_; }
    bool is_patience_over() const { return is_patience_over_; }
    /// Rung by the next TERM or INT, unless that is the first one.
    std::shared_ptr<const Wake> hurry() const;
    /// Whether HUP came since the last call.
    bool take_reload() { return reload_.exchange(false); }

  private:
    void run();
    void ring_hurry();

    int fd_ = -1;
    /// Rung by the destructor, and where there is another patience.
    const Wake news_;
    mutable std::mutex mutex_;
    std::function<void()> react_;
    std::optional<Duration> patience_;
    std::shared_ptr<const Wake> hurry_ = std::make_shared<const Wake>();
    std::atomic<bool> is_over_ = false;
    std::atomic<int> stops_ = 0;
    std::atomic<bool> is_patience_over_ = false;
    Moment patience_ends_ = BootClock::never;
    std::atomic<bool> reload_ = false;
    std::thread thread_;
};

}  // namespace sema
