#pragma once

#include "cli/dispatch/process.hpp"
#include "client/boot_clock.hpp"
#include "client/scheduler/wake.hpp"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

namespace sema {

/// The `semactl run` of each task that is one: they outlive a backend, which is made anew when the file is
/// read again. Any thread. Has a thread of its own, which notices their ends.
class RunningCommands {
  public:
    /// `on_end` is called with the fence of the task's start when its process has ended by itself, and the
    /// slot is free: at once where it has ended all of its command before; where a signal ended it, once the
    /// lease is over.
    explicit RunningCommands(std::function<void(std::uint64_t)> on_end);
    ~RunningCommands();
    RunningCommands(const RunningCommands&) = delete;
    RunningCommands& operator=(const RunningCommands&) = delete;

    /// From then on `on_end` is not called.
    void silence();

    /// `ttl` is that of its lease.
    Expected<void> start(std::uint64_t fence, const ProcessSpec& spec, Duration ttl);

    struct End {
        ProcessEnd end;
        /// It was asked to end here.
        bool was_asked = false;
    };
    /// Ends the task's process, where it has not ended within `patience`, and returns how it ended. None
    /// where there is none.
    std::optional<End> end(std::uint64_t fence, Duration patience);

  private:
    struct Entry {
        pid_t pid = -1;
        int descriptor = -1;
        Duration ttl{};
        bool was_asked = false;
        std::optional<ProcessEnd> end{};
        Moment slot_free_at = BootClock::never;
    };
    void run();
    void look();

    std::mutex telling_;
    std::function<void(std::uint64_t)> on_end_;
    const Wake wake_;
    std::mutex mutex_;
    std::condition_variable ended_;
    bool is_over_ = false;
    /// By their fences.
    std::map<std::uint64_t, Entry> entries_;
    std::thread thread_;
};

}  // namespace sema
