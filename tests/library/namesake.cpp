// The first process of a PID namespace, with a child that is the first one of another, and has the same PID:
// namesake URL POOL. It prints 0 where the child takes nothing of the client for its own.
#include "tests/library/at_rest.hpp"

#include <sched.h>
#include <sema/sema.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <iostream>

namespace {

int run(const char* url, const char* pool) try {
    sema::client client(url);
    sema::counting_semaphore permits(client, pool);
    permits.acquire();
    if (unshare(CLONE_NEWPID) != 0) return 1;
    const pid_t parent = getpid();
    sema::test::wait_for_rest();
    const pid_t child = fork();
    if (child == 0) {
        // The first process of a namespace is not killed by an alarm() of its own.
        if (getpid() != parent) _exit(1);
        try {
            static_cast<void>(permits.value());
        } catch (const sema::error& error) {
            _exit(error.code() == sema::errc::client_closed && permits.held() == 0 ? 0 : 2);
        }
        _exit(3);
    }
    int status = 0;
    waitpid(child, &status, 0);
    std::cout << status << std::endl;
    return 0;
} catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
}

}  // namespace

int main(int, char** arguments) {
    // The search for leaks needs another process, which the first one of a namespace cannot have now.
    _exit(run(arguments[1], arguments[2]));
}
