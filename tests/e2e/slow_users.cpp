// Preloaded into a program, this stands for a directory of users that doesn't answer.

#include <pwd.h>
#include <unistd.h>

#include <tuple>

extern "C" passwd* getpwuid(uid_t) {
    std::ignore = write(STDERR_FILENO, "asked for a user\n", 17);
    for (;;)
        sleep(20);
}
