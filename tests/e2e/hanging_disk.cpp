// Preloaded into a program, this stands for a disk that hangs: while the file exists that $HANGING_DISK
// names, a write to any file does not return, whatever signals come. Pipes are none of it.

#include <dlfcn.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

namespace {

bool is_on_disk(int file) {
    struct stat info {};
    return fstat(file, &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

extern "C" ssize_t write(int file, const void* bytes, size_t size) {
    using Function = ssize_t (*)(int, const void*, size_t);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "write"));
    const char* const hangs = std::getenv("HANGING_DISK");
    while (hangs != nullptr && is_on_disk(file) && access(hangs, F_OK) == 0) {
        const timespec round{0, 5'000'000};
        nanosleep(&round, nullptr);
    }
    return real(file, bytes, size);
}
