#pragma once

#include "common/error.hpp"

#include <curl/curl.h>

#include <cstdint>
#include <memory>
#include <string>

namespace sema::callback {

struct FreeUrl {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

/// Where a callback goes: what libcurl makes of its URL, so that what is looked at is what is connected to.
struct Receiver {
    std::unique_ptr<CURLU, FreeUrl> url{};
    /// In lower case; an address without brackets.
    std::string host{};
    std::uint16_t port = 0;
    /// Scheme, host and port: what may be shown.
    std::string origin{};
};

/// The error says how to write it, and does not quote it.
Expected<Receiver> parse_receiver(const std::string& url);

}  // namespace sema::callback
