#include "server/given_sockets.hpp"

#include "common/numbers.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace sema {
namespace {

// The first descriptor behind stdin, stdout and stderr.
constexpr int first_given = 3;
// More than anybody wants to listen on.
constexpr std::int64_t most_given = 1000;

}  // namespace

Expected<std::vector<int>> given_sockets() {
    const char* const number = std::getenv("LISTEN_FDS");
    const char* const receiver = std::getenv("LISTEN_PID");
    // The variables may be meant for the process that started us.
    if (!number || !receiver || receiver != std::to_string(::getpid())) return std::vector<int>();
    const auto count = parse_number(number, {0, most_given});
    if (!count) return failure("the variable LISTEN_FDS: " + count.error().message);
    std::vector<int> descriptors;
    for (int descriptor = first_given; descriptor < first_given + *count; ++descriptor) {
        ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
        descriptors.push_back(descriptor);
    }
    return descriptors;
}

}  // namespace sema
