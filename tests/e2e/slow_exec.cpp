// Preloaded, it has a program take its time to be executed, as one on a disk that hangs: until the file is
// there that SLOW_EXEC names.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

extern "C" int execve(const char* path, char* const* arguments, char* const* environment) {
    const char* const file = std::getenv("SLOW_EXEC");
    while (file != nullptr && access(file, F_OK) != 0)
        usleep(5000);
    using Exec = int (*)(const char*, char* const*, char* const*);
    return reinterpret_cast<Exec>(dlsym(RTLD_NEXT, "execve"))(path, arguments, environment);
}
