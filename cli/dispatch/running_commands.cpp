#include "cli/dispatch/running_commands.hpp"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace sema {
namespace {

using namespace std::chrono_literals;

// `semactl run` needs 5 s to end its command and to return the slot, and is killed if it needs more than
// twice that.
constexpr auto end_patience = 10s;
constexpr int between_looks_ms = 50;

}  // namespace

RunningCommands::RunningCommands(std::function<void(const std::string&)> on_end)
    : on_end_(std::move(on_end)), thread_([this] { run(); }) {}

RunningCommands::~RunningCommands() {
    {
        const std::lock_guard lock(mutex_);
        is_over_ = true;
    }
    wake_.ring();
    thread_.join();
    for (auto& [task, entry] : entries_) {
        if (entry.descriptor >= 0) close(entry.descriptor);
    }
}

void RunningCommands::silence() {
    const std::lock_guard lock(telling_);
    on_end_ = nullptr;
}

Expected<void> RunningCommands::start(const std::string& task, const ProcessSpec& spec) {
    const auto pid = start_process(spec);
    if (!pid) return tl::unexpected(pid.error());
    {
        const std::lock_guard lock(mutex_);
        entries_[task] = {.pid = *pid, .descriptor = end_of_process(*pid)};
    }
    wake_.ring();
    return {};
}

std::optional<RunningCommands::End> RunningCommands::end(const std::string& task, Duration patience) {
    std::unique_lock lock(mutex_);
    const auto found = entries_.find(task);
    if (found == entries_.end()) return std::nullopt;
    Entry& entry = found->second;
    const auto has_ended = [&] { return entry.end.has_value(); };
    if (!ended_.wait_for(lock, patience, has_ended)) {
        entry.was_asked = true;
        kill(entry.pid, SIGTERM);
        if (!ended_.wait_for(lock, end_patience, has_ended)) {
            kill(entry.pid, SIGKILL);
            ended_.wait(lock, has_ended);
        }
    }
    End result{*entry.end, entry.was_asked};
    entries_.erase(found);
    return result;
}

void RunningCommands::run() {
    for (;;) {
        std::vector<pollfd> descriptors{{wake_.fd(), POLLIN, 0}};
        bool has_blind = false;
        {
            const std::lock_guard lock(mutex_);
            if (is_over_) return;
            for (const auto& [task, entry] : entries_) {
                if (entry.end) continue;
                if (entry.descriptor >= 0) descriptors.push_back({entry.descriptor, POLLIN, 0});
                has_blind = has_blind || entry.descriptor < 0;
            }
        }
        poll(descriptors.data(), descriptors.size(), has_blind ? between_looks_ms : -1);
        wake_.clear();
        look();
    }
}

void RunningCommands::look() {
    std::vector<std::string> news;
    {
        const std::lock_guard lock(mutex_);
        for (auto& [task, entry] : entries_) {
            if (entry.end) continue;
            entry.end = wait_for(entry.pid, 0s);
            if (!entry.end) continue;
            if (entry.descriptor >= 0) close(std::exchange(entry.descriptor, -1));
            if (!entry.was_asked && !entry.end->by_signal) news.push_back(task);
        }
    }
    ended_.notify_all();
    const std::lock_guard lock(telling_);
    for (const std::string& task : news) {
        if (on_end_) on_end_(task);
    }
}

}  // namespace sema
