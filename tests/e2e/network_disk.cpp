// Preloaded into a program, this makes the disk look like a network file system to it: of the type in
// DISK_TYPE, as statfs(2) tells it; and where LOCK_ERROR is set, locks are refused with that errno.

// With it, one of two names that programs may be linked to would stand for the other here.
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>

namespace {

long number_in(const char* variable) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? 0 : std::strtol(text, nullptr, 0);
}

int real_fcntl(int file, int command, void* argument) {
    using Function = int (*)(int, int, ...);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "fcntl64"));
    return real(file, command, argument);
}

int locking_fcntl(int file, int command, void* argument) {
    const auto error = static_cast<int>(number_in("LOCK_ERROR"));
    const bool is_lock = command == F_SETLK && static_cast<struct flock*>(argument)->l_type != F_UNLCK;
    if (error == 0 || !is_lock) return real_fcntl(file, command, argument);
    errno = error;
    return -1;
}

}  // namespace

extern "C" {

int fcntl(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void* const argument = va_arg(rest, void*);
    va_end(rest);
    return locking_fcntl(file, command, argument);
}

int fcntl64(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void* const argument = va_arg(rest, void*);
    va_end(rest);
    return locking_fcntl(file, command, argument);
}

int statfs(const char* path, struct statfs* info) noexcept {
    using Function = int (*)(const char*, struct statfs*);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "statfs"));
    const int result = real(path, info);
    if (result == 0 && number_in("DISK_TYPE") != 0) info->f_type = number_in("DISK_TYPE");
    return result;
}

int statfs64(const char* path, struct statfs64* info) noexcept {
    using Function = int (*)(const char*, struct statfs64*);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "statfs64"));
    const int result = real(path, info);
    if (result == 0 && number_in("DISK_TYPE") != 0) info->f_type = number_in("DISK_TYPE");
    return result;
}
}
