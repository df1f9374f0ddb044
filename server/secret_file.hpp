#pragma once

#include "common/error.hpp"

#include <string>

namespace sema {

/// A secret that was written into a file for this process alone.
struct Secret {
    std::string text;
    /// More users than need to can read the file: everybody, or its group where the file is this
    /// process's own.
    bool exposed = false;
};

/// The first line of the file at `path` in which something stands, trimmed; what is behind the first 8 KiB is
/// not seen. The error is the reason alone, which does not quote the file.
Expected<Secret> read_secret(const std::string& path);

/// Whether the file at `path` is a credential of systemd's that this process cannot read: the service has it
/// for itself alone.
bool is_credential_of_another(const std::string& path);

/// Whether the file at `path`, which holds a secret, is `exposed` as above. False where there is none.
bool is_exposed(const std::string& path);

}  // namespace sema
