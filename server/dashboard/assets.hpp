#pragma once

#include <span>
#include <string_view>

namespace sema {

/// A file of the dashboard, as browsers get it.
struct Asset {
    /// As in `app.js`. That of the page itself is `index.html`.
    std::string_view name;
    const char* content_type;
    std::string_view content;
    /// As in an ETag field, with its quotes: another one for another content.
    std::string_view tag;
};

/// All files in this folder that browsers get.
std::span<const Asset> dashboard_assets();

}  // namespace sema
