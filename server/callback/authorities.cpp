#include "server/callback/authorities.hpp"

#include "server/regular_file.hpp"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <memory>
#include <new>

namespace sema::callback {

Expected<void> check_authorities(const std::string& path, const std::string& lead) {
    if (path.empty()) return {};
    if (const auto readable = check_regular_file(path); !readable)
        return failure(lead + "cannot read " + path + ": " + readable.error().message);
    const std::unique_ptr<X509_STORE, void (*)(X509_STORE*)> store(X509_STORE_new(), X509_STORE_free);
    if (!store) throw std::bad_alloc();
    const bool has_some = X509_STORE_load_file(store.get(), path.c_str()) == 1;
    ERR_clear_error();
    if (!has_some) return failure(lead + path + " has no certificates: name a file with some, in PEM");
    return {};
}

}  // namespace sema::callback
