// Moves on as fast as it can, for as many seconds as its argument says: forks, and ends while its child goes
// on. Takes no notice of a TERM.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>

int main(int, char** arguments) {
    using Clock = std::chrono::steady_clock;
    std::signal(SIGTERM, SIG_IGN);
    const auto end = Clock::now() + std::chrono::seconds(std::atoi(arguments[1]));
    while (Clock::now() < end)
        if (fork() > 0) _exit(0);
    _exit(0);
}
