#include "server/store/shared/waiting.hpp"

#include <poll.h>

#include <chrono>

namespace sema::shared {

bool wait_for_announcements(const Engine& engine, Duration until, const Source& source, Interrupt& woken,
                            const Interrupt& abandoned) {
    const Duration begun = engine.boot_time();
    for (;;) {
        const Duration now = engine.boot_time();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
        if (left <= 0 || now < begun) return true;
        const auto taken = source.take();
        if (!taken) return false;
        if (*taken) continue;
        pollfd places[] = {{source.descriptor(), POLLIN, 0},
                           {woken.descriptor(), POLLIN, 0},
                           {abandoned.descriptor(), POLLIN, 0}};
        (void)::poll(places, 3, static_cast<int>(left));
        if (places[1].revents != 0) woken.lower();
        if (places[1].revents != 0 || places[2].revents != 0) return true;
    }
}

}  // namespace sema::shared
