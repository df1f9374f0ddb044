#include "server/service/clock.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>

namespace sema {
namespace {

// Less than this is the drift and slew of a clock that NTP disciplines; more is a step.
constexpr Duration smallest_step = std::chrono::seconds(1);
constexpr Duration anchor_lifetime = std::chrono::minutes(1);

Duration read(clockid_t id) {
    timespec time{};
    clock_gettime(id, &time);
    return std::chrono::seconds(time.tv_sec) +
           std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(time.tv_nsec));
}

// Distinguishes the time namespaces of one boot, each of which has its offset of CLOCK_BOOTTIME: empty in the
// machine's own, and before Linux 5.6.
std::string time_namespace() {
    std::ifstream offsets("/proc/self/timens_offsets");
    for (std::string clock, seconds, nanoseconds; offsets >> clock >> seconds >> nanoseconds;) {
        if (clock == "boottime" && (seconds != "0" || nanoseconds != "0"))
            return "+" + seconds + "s" + nanoseconds + "ns";
    }
    return "";
}

TimePoint origin(const std::optional<ClockAnchor>& stored, const OsClocks& os) {
    const Duration boot = os.boot_time();
    const Duration wall = os.wall_time();
    if (!stored) return TimePoint(wall - boot);
    const bool same_boot = !os.boot_id.empty() && os.boot_id == stored->boot_id && boot >= stored->boot_time;
    const Duration passed = same_boot ? boot - stored->boot_time : wall - stored->wall_time;
    return stored->timeline + std::max(passed, Duration::zero()) - boot;
}

}  // namespace

OsClocks OsClocks::real() {
    std::string id;
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::getline(file, id);
    if (!id.empty()) id += time_namespace();
    return {id, [] { return read(CLOCK_BOOTTIME); }, [] { return read(CLOCK_REALTIME); }};
}

SystemClock::SystemClock(std::optional<ClockAnchor> stored, OsClocks os)
    : os_(std::move(os)), stored_(std::move(stored)), origin_(origin(stored_, os_)) {}

TimePoint SystemClock::now() const {
    return origin_ + os_.boot_time();
}

Duration SystemClock::unix_time(TimePoint point) const {
    return os_.wall_time() + (point - now());
}

std::optional<ClockAnchor> SystemClock::anchor_to_store() const {
    const Duration boot = os_.boot_time();
    const Duration wall = os_.wall_time();
    if (stored_ && stored_->boot_id == os_.boot_id) {
        const Duration passed = boot - stored_->boot_time;
        const Duration drift = (wall - stored_->wall_time) - passed;
        const bool fresh = passed >= Duration::zero() && passed < anchor_lifetime;
        if (fresh && drift > -smallest_step && drift < smallest_step) return std::nullopt;
    }
    return ClockAnchor{os_.boot_id, boot, wall, origin_ + boot};
}

void SystemClock::anchor_stored(const ClockAnchor& anchor) {
    stored_ = anchor;
}

}  // namespace sema
