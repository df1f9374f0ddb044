#pragma once

#include "common/error.hpp"
#include "server/http/stream.hpp"
#include "server/sync.hpp"

#include <string>
#include <vector>

namespace sema::http {

/// The files that TLS needs, in PEM.
struct TlsFiles {
    /// The server's certificate, and behind it those that lead to its authority's.
    std::string certificate;
    /// The certificate's key, not encrypted.
    std::string key;
    /// The certificates of the authorities of which a client must have one. Empty: any client is served.
    std::string client_ca;

    /// Of each, what an error about it begins with, such as the place where its name stands.
    struct Leads {
        std::string certificate;
        std::string key;
        std::string client_ca;

        bool operator==(const Leads&) const = default;
    };
    Leads leads{};

    bool operator==(const TlsFiles&) const = default;
};

struct LoadedTls {
    TlsSettings settings;
    /// What is wrong with a certificate that is used all the same, a line each.
    std::vector<std::string> warnings;
};

/// Reads the files. The error is one line that names the file, and never quotes it.
Expected<LoadedTls> read_tls_files(const TlsFiles& files);

/// With what TLS connections begin. It can be replaced while connections are there, which go on with what
/// they began with. Any thread may use it.
class TlsContext {
  public:
    explicit TlsContext(TlsSettings settings);

    void replace(TlsSettings settings);
    TlsSettings settings() const;

  private:
    mutable Mutex mutex_;
    TlsSettings settings_ GUARDED_BY(mutex_);
};

}  // namespace sema::http
