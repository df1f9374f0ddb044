#pragma once

#include <curl/curl.h>

#include <string>

namespace sema {

/// Why a transfer came to nothing, in our words: those of libcurl and the libraries below speak of their own
/// insides. `details` is what libcurl wrote into its error buffer.
std::string describe_trouble(CURLcode code, const std::string& details);

}  // namespace sema
