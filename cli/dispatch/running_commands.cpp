#include "cli/dispatch/running_commands.hpp"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace sema {
namespace {

using namespace std::chrono_literals;

// `semactl run` needs 5 s to end its command and to return the slot, and is killed if it needs more than
// twice that.
constexpr auto end_patience = 10s;
constexpr auto between_looks = 50ms;

}  // namespace

RunningCommands::RunningCommands(std::function<void(std::uint64_t)> on_end)
    : on_end_(std::move(on_end)), thread_([this] { run(); }) {}

RunningCommands::~RunningCommands() {
    {
        const std::lock_guard lock(mutex_);
        is_over_ = true;
    }
    wake_.ring();
    thread_.join();
    for (auto& [fence, entry] : entries_) {
        if (entry.descriptor >= 0) close(entry.descriptor);
    }
}

void RunningCommands::silence() {
    const std::lock_guard lock(telling_);
    on_end_ = nullptr;
}

Expected<void> RunningCommands::start(std::uint64_t fence, const ProcessSpec& spec, Duration ttl) {
    const auto pid = start_process(spec);
    if (!pid) return tl::unexpected(pid.error());
    {
        const std::lock_guard lock(mutex_);
        entries_[fence] = {.pid = *pid, .descriptor = end_of_process(*pid), .ttl = ttl};
    }
    wake_.ring();
    return {};
}

std::optional<RunningCommands::End> RunningCommands::end(std::uint64_t fence, Duration patience) {
    std::unique_lock lock(mutex_);
    const auto found = entries_.find(fence);
    if (found == entries_.end()) return std::nullopt;
    Entry& entry = found->second;
    const auto has_ended = [&] { return entry.end.has_value(); };
    if (!ended_.wait_for(lock, patience, has_ended)) {
        entry.was_asked = true;
        kill(entry.pid, SIGTERM);
        // One that is stopped would not even notice.
        kill(entry.pid, SIGCONT);
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
        Moment look_at = BootClock::never;
        {
            const std::lock_guard lock(mutex_);
            if (is_over_) return;
            for (const auto& [fence, entry] : entries_) {
                look_at = std::min(look_at, entry.slot_free_at);
                if (entry.end) continue;
                if (entry.descriptor >= 0)
                    descriptors.push_back({entry.descriptor, POLLIN, 0});
                else
                    look_at = std::min<Moment>(look_at, BootClock::now() + between_looks);
            }
        }
        const int limit =
            look_at == BootClock::never
                ? -1
                : static_cast<int>(std::clamp<Duration>(look_at - BootClock::now(), 0ms, 1h) / 1ms) + 1;
        poll(descriptors.data(), descriptors.size(), limit);
        wake_.clear();
        look();
    }
}

void RunningCommands::look() {
    std::vector<std::uint64_t> news;
    {
        const std::lock_guard lock(mutex_);
        const Moment now = BootClock::now();
        for (auto& [fence, entry] : entries_) {
            if (!entry.end && (entry.end = wait_for(entry.pid, 0s))) {
                if (entry.descriptor >= 0) close(std::exchange(entry.descriptor, -1));
                if (!entry.was_asked) entry.slot_free_at = entry.end->by_signal ? now + entry.ttl : now;
            }
            if (now < entry.slot_free_at) continue;
            entry.slot_free_at = BootClock::never;
            news.push_back(fence);
        }
    }
    ended_.notify_all();
    const std::lock_guard lock(telling_);
    for (const std::uint64_t fence : news) {
        if (on_end_) on_end_(fence);
    }
}

}  // namespace sema
