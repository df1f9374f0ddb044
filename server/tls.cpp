#include "server/tls.hpp"

#include "server/secret_file.hpp"

namespace sema {

Expected<http::LoadedTls> load_tls(const http::TlsFiles& files) {
    if (files.certificate.empty()) return http::LoadedTls{};
    auto loaded = http::read_tls_files(files);
    if (loaded && is_exposed(files.key))
        loaded->warnings.push_back(files.key + " holds the key of TLS and others can read it (chmod 600 it)");
    return loaded;
}

}  // namespace sema
