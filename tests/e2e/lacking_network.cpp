// Preloaded into a program, this makes a network of which the machine lacks a part: seats.example stands for
// the addresses in SEATS_ADDRESSES, with spaces between, and where NO_IPV6 is set there is none.

#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

extern "C" {

int socket(int family, int type, int protocol) noexcept {
    using Function = int (*)(int, int, int);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "socket"));
    if (family != AF_INET6 || std::getenv("NO_IPV6") == nullptr) return real(family, type, protocol);
    errno = EAFNOSUPPORT;
    return -1;
}

int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** result) {
    using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getaddrinfo"));
    const char* const addresses = std::getenv("SEATS_ADDRESSES");
    if (host == nullptr || std::strcmp(host, "seats.example") != 0 || addresses == nullptr)
        return real(host, service, hints, result);
    std::istringstream words(addresses);
    addrinfo** next = result;
    for (std::string address; words >> address;) {
        if (const int error = real(address.c_str(), service, hints, next)) return error;
        while (*next != nullptr)
            next = &(*next)->ai_next;
    }
    return 0;
}
}
