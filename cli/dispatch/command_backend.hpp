#pragma once

#include "cli/dispatch/dispatch_file.hpp"
#include "cli/dispatch/process.hpp"
#include "cli/dispatch/running_commands.hpp"
#include "cli/dispatch/start_watches.hpp"

#include <sema/scheduler.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sema {

/// What the commands of all backends of a file have in common.
struct CommandSurroundings {
    /// The working directory: the file's.
    std::string folder;
    /// Entries of the form NAME=VALUE, those among them by which a semactl finds the server.
    std::vector<std::string> environment;
    /// This program's own file, open to be executed; -1 where the system does not show it.
    int program = -1;
    /// The pool's UUID.
    std::string pool;
    /// What a command takes at most, but for `run`.
    Duration limit{};
    /// Of a `run`.
    Duration ttl{};
    /// How long a lease is renewed for whose task was started.
    Duration hold{};
    /// Called with trouble that keeps nothing else from being done.
    std::function<void(const std::string&)> on_trouble{};
    /// Called with the id of each task that a poll names, or that a command is called for, before.
    std::function<void(const std::string&)> on_task{};
    /// Rung when no answer of a `poll` is of use any more.
    std::shared_ptr<const Wake> over{};
    /// Gives what is rung to end a command that begins now before its time.
    std::function<std::shared_ptr<const Wake>()> hurry{};
};

/// A backend of commands, as a dispatch file has it. A `run` is a `semactl run --lease` of its own, so that
/// all that semactl promises a command holds for it, and its end is the task's.
class CommandBackend : public backend {
  public:
    /// `running` and `starts` must outlive it.
    CommandBackend(BackendSettings settings, CommandSurroundings surroundings, RunningCommands& running,
                   StartWatches& starts);

    std::string name() const override { return settings_.name; }
    std::optional<std::string> poll() override;
    void start(const task& what) override;
    void stop(const task& what) override;
    void timeout(const task& what) override;
    void keepalive(const task& what) override;
    bool error(const task& what, backend_call failed, const std::exception& why) override;
    bool hands_lease_on() const override { return !settings_.run.empty(); }

  private:
    using Variables = std::vector<std::pair<std::string, std::string>>;

    ProcessSpec spec(const CommandWords& words, const Variables& variables) const;
    ProcessSpec spec_of_run(const task& what) const;
    ProcessSpec spec_of_start(const task& what, int watch) const;
    CommandResult run(const ProcessSpec& spec, bool is_poll) const;
    void run(const CommandWords& words, const task& what) const;

    const BackendSettings settings_;
    const CommandSurroundings surroundings_;
    RunningCommands& running_;
    StartWatches& starts_;
};

}  // namespace sema
