#include "server/store/shared/engine.hpp"

#include <algorithm>
#include <ctime>
#include <random>

namespace sema::shared {
namespace {

ServerId random_server() {
    std::random_device entropy;
    const std::uint64_t number = std::uint64_t{entropy()} << 32 | entropy();
    return ServerId{std::max<std::uint64_t>(1, number)};
}

}  // namespace

Engine::Engine() : self_(random_server()) {}

Duration Engine::boot_time() const {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return std::chrono::duration_cast<Duration>(std::chrono::seconds(time.tv_sec) +
                                                std::chrono::nanoseconds(time.tv_nsec));
}

}  // namespace sema::shared
