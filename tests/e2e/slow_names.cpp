// Preloaded into a program, this stands for a name server that doesn't answer.

#include <netdb.h>
#include <unistd.h>

extern "C" int getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) {
    sleep(20);
    return EAI_AGAIN;
}
