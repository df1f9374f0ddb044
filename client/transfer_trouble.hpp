#pragma once

#include "client/server_address.hpp"

#include <curl/curl.h>

#include <optional>
#include <string>

namespace sema {

/// Why a transfer came to nothing, in our words: those of libcurl and the libraries below speak of their own
/// insides. `details` is what libcurl wrote into its error buffer.
std::string describe_trouble(CURLcode code, const std::string& details, const TlsFiles& files);

/// What goes on from the server's name, where the two sides do not agree on TLS, and will not as long as
/// nobody changes a setting. Nothing for all else, as for a handshake that is cut off: a server that restarts
/// does that.
std::optional<std::string> disagreement(CURLcode code, const std::string& details, const TlsFiles& files);

}  // namespace sema
