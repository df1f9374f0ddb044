// Preloaded into a program, it lets a test step the wall clock that this program sees: by as many seconds as
// the file that $SEMA_TEST_CLOCK_STEP names holds, a 64-bit number that may change at any time.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

std::int64_t step() {
    static const volatile std::int64_t* const seconds = [] {
        const char* path = std::getenv("SEMA_TEST_CLOCK_STEP");
        const int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void* page = file < 0 ? MAP_FAILED : mmap(nullptr, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
        return page == MAP_FAILED ? nullptr : static_cast<const volatile std::int64_t*>(page);
    }();
    return seconds ? *seconds : 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
    const long result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += step();
    return static_cast<int>(result);
}

int gettimeofday(timeval* time, void*) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t* result) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
}
