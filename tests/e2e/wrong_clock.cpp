// Preloaded into a program, this makes its wall clock wrong: by as many seconds as the file says that the
// environment names in WRONG_CLOCK, at each moment anew; and likewise its CLOCK_BOOTTIME by WRONG_BOOT_CLOCK,
// as on a machine that was halted without knowing. Its other clocks stay right.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace {

long seconds_wrong(const char* variable) {
    const char* const path = std::getenv(variable);
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
        time->tv_sec += seconds_wrong("WRONG_CLOCK");
    if (result == 0 && clock == CLOCK_BOOTTIME) time->tv_sec += seconds_wrong("WRONG_BOOT_CLOCK");
    return result;
}

int gettimeofday(timeval* time, void* zone) noexcept {
    using Function = int (*)(timeval*, void*);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "gettimeofday"));
    const int result = real(time, zone);
    if (result == 0) time->tv_sec += seconds_wrong("WRONG_CLOCK");
    return result;
}

time_t time(time_t* result) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (result != nullptr) *result = now.tv_sec;
    return now.tv_sec;
}
}
