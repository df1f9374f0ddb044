#pragma once

#include "server/http/tls_context.hpp"

namespace sema {

/// What the files hold, as http::read_tls_files() reads them; no settings where none are named. That others
/// can read the key is among the warnings.
Expected<http::LoadedTls> load_tls(const http::TlsFiles& files);

}  // namespace sema
