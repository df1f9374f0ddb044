// Preloaded into a program, this makes its wall clock wrong: by as many seconds as the file says that the
// environment names in WRONG_CLOCK, at each moment anew. Its other clocks stay right.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace {

long seconds_wrong() {
    static const char* const path = std::getenv("WRONG_CLOCK");
    const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[32] = {};
    const ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    return size > 0 ? std::atol(text) : 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
    using Function = int (*)(clockid_t, timespec*);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "clock_gettime"));
    const int result = real(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += seconds_wrong();
    return result;
}

int gettimeofday(timeval* time, void* zone) noexcept {
    using Function = int (*)(timeval*, void*);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "gettimeofday"));
    const int result = real(time, zone);
    if (result == 0) time->tv_sec += seconds_wrong();
    return result;
}

time_t time(time_t* result) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (result != nullptr) *result = now.tv_sec;
    return now.tv_sec;
}
}
