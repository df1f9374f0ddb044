#include "server/store/shared/neighbours.hpp"

#include <algorithm>

namespace sema::shared {

bool Neighbours::is_lost(ServerId server, Duration now) {
    const MutexLock lock(mutex_);
    Neighbour& neighbour = all_[server];
    neighbour.asked_at = now;
    return neighbour.lost;
}

std::vector<ServerId> Neighbours::watched() const {
    const MutexLock lock(mutex_);
    std::vector<ServerId> servers;
    for (const auto& [server, neighbour] : all_)
        servers.push_back(server);
    return servers;
}

std::vector<ServerId> Neighbours::take(const std::vector<ServerId>& asked, const std::vector<bool>& alive,
                                       Duration now) {
    std::vector<ServerId> lost;
    const MutexLock lock(mutex_);
    for (std::size_t i = 0; i < asked.size() && i < alive.size(); ++i) {
        const auto found = all_.find(asked[i]);
        if (found == all_.end()) continue;
        Neighbour& neighbour = found->second;
        if (alive[i]) {
            neighbour.lost = false;
            neighbour.missing_since.reset();
        } else if (neighbour.lost) {
            if (now - neighbour.asked_at > memory) all_.erase(found);
        } else if (!neighbour.missing_since) {
            neighbour.missing_since = now;
        } else if (now - *neighbour.missing_since >= missing_limit) {
            neighbour.lost = true;
            lost.push_back(asked[i]);
        }
    }
    return lost;
}

void Neighbours::forgive() {
    const MutexLock lock(mutex_);
    for (auto& [server, neighbour] : all_)
        neighbour.missing_since.reset();
}

bool Neighbours::end(ServerId server) {
    const MutexLock lock(mutex_);
    const auto found = all_.find(server);
    if (found == all_.end() || found->second.lost) return false;
    found->second.lost = true;
    return true;
}

void Neighbours::bury(ServerId server) {
    const MutexLock lock(mutex_);
    all_[server].lost = true;
}

std::optional<Duration> Neighbours::next_loss() const {
    std::optional<Duration> next;
    const MutexLock lock(mutex_);
    for (const auto& [server, neighbour] : all_) {
        if (neighbour.lost || !neighbour.missing_since) continue;
        const Duration then = *neighbour.missing_since + missing_limit;
        next = next ? std::min(*next, then) : then;
    }
    return next;
}

}  // namespace sema::shared
