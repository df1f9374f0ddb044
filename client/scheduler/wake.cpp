#include "client/scheduler/wake.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <tuple>

namespace sema {

using namespace std::chrono_literals;

Wake::Wake() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Wake::~Wake() {
    close(fd_);
}

void Wake::ring() const {
    const std::uint64_t one = 1;
    std::ignore = write(fd_, &one, sizeof one);
}

void Wake::clear() const {
    std::uint64_t count = 0;
    std::ignore = read(fd_, &count, sizeof count);
}

bool Wake::was_rung() const {
    pollfd entry{fd_, POLLIN, 0};
    return poll(&entry, 1, 0) > 0;
}

void Wake::wait(Duration limit) const {
    constexpr Duration longest = 1h;
    pollfd entry{fd_, POLLIN, 0};
    const auto time = std::chrono::ceil<std::chrono::milliseconds>(std::clamp<Duration>(limit, 0s, longest));
    poll(&entry, 1, static_cast<int>(time.count()));
}

}  // namespace sema
