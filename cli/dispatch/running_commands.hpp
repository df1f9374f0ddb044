#pragma once

#include "cli/dispatch/process.hpp"
#include "client/scheduler/wake.hpp"

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace sema {

/// The `semactl run` of each task that is one: they outlive a backend, which is made anew when the file is
/// read again. Any thread. Has a thread of its own, which notices their ends.
class RunningCommands {
  public:
    /// `on_end` is called with the task's id when its process has ended by itself, and has ended all of its
    /// command with that: not where a signal ended it.
    explicit RunningCommands(std::function<void(const std::string&)> on_end);
    ~RunningCommands();
    RunningCommands(const RunningCommands&) = delete;
    RunningCommands& operator=(const RunningCommands&) = delete;

    /// From then on `on_end` is not called.
    void silence();

    Expected<void> start(const std::string& task, const ProcessSpec& spec);

    struct End {
        ProcessEnd end;
        /// It was asked to end here.
        bool was_asked = false;
    };
    /// Ends the task's process, where it has not ended within `patience`, and returns how it ended. None
    /// where there is none.
    std::optional<End> end(const std::string& task, Duration patience);

  private:
    struct Entry {
        pid_t pid = -1;
        int descriptor = -1;
        bool was_asked = false;
        std::optional<ProcessEnd> end{};
    };
    void run();
    void look();

    std::mutex telling_;
    std::function<void(const std::string&)> on_end_;
    const Wake wake_;
    std::mutex mutex_;
    std::condition_variable ended_;
    bool is_over_ = false;
    std::map<std::string, Entry> entries_;
    std::thread thread_;
};

}  // namespace sema
