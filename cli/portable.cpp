// What the portable semactl, which is linked statically, has in place of calls of its libraries (the linker's
// option --wrap: a call of NAME goes to __wrap_NAME).
//
// A static glibc looks for users, hosts and services with the modules that /etc/nsswitch.conf names. It loads
// those of the machine, which crash it unless they are of the very same glibc. So nothing here may load one:
// hosts are c-ares's business, and the rest is done without.
#include <dlfcn.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace {

// Where the distributions have the certificates that they trust: Debian, Ubuntu, Alpine, Arch; Fedora, RHEL;
// SUSE; old RHEL, Amazon; others.
constexpr std::array<const char*, 5> certificate_files = {
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

}  // namespace

// The linker has these names.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

// A user whom /etc/passwd does not know is one of the network's (LDAP, NIS), and goes by the login's name.
passwd* __wrap_getpwuid(uid_t id) {
    if (const File users(std::fopen("/etc/passwd", "re"), std::fclose); users) {
        while (passwd* const user = fgetpwent(users.get()))
            if (user->pw_uid == id) return user;
    }
    static passwd named{};
    named.pw_name = nullptr;
    for (const char* const variable : {"USER", "LOGNAME"}) {
        named.pw_name = std::getenv(variable);
        if (named.pw_name != nullptr && *named.pw_name != '\0') return &named;
    }
    return nullptr;
}

// OpenSSL asks where SSL_CERT_FILE says nothing.
const char* __wrap_X509_get_default_cert_file() {
    for (const char* const file : certificate_files)
        if (access(file, R_OK) == 0) return file;
    return certificate_files.front();
}

int __real_OPENSSL_init_ssl(std::uint64_t options, const OPENSSL_INIT_SETTINGS* settings);

// libcurl prepares OpenSSL for all that it can do, whether TLS is used or not: a tenth of the time that
// `semactl run POOL -- true` takes. What TLS takes OpenSSL prepares by itself. The machine's configuration,
// which may name modules, is left alone.
int __wrap_OPENSSL_init_ssl(std::uint64_t options, const OPENSSL_INIT_SETTINGS* settings) {
    if ((options & OPENSSL_INIT_ENGINE_ALL_BUILTIN) != 0) return 1;
    return __real_OPENSSL_init_ssl(options | OPENSSL_INIT_NO_LOAD_CONFIG, settings);
}

// libcurl gives c-ares numbers of ports, never names of services.
servent* __wrap_getservbyname(const char*, const char*) {
    return nullptr;
}
int __wrap_getservbyport_r(int, const char*, servent*, char*, std::size_t, servent** found) {
    *found = nullptr;
    return 0;
}

// OpenSSL's own sockets and modules, which libcurl does not use.
int __wrap_getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) {
    return EAI_FAIL;
}
hostent* __wrap_gethostbyname(const char*) {
    return nullptr;
}
void* __wrap_dlopen(const char*, int) {
    return nullptr;
}
}
// NOLINTEND(bugprone-reserved-identifier)
