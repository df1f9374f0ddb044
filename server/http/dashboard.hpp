#pragma once

#include "server/http/routes.hpp"

#include <string_view>

namespace sema::http {

/// Whether the path is one of the dashboard's: `/`, `/dashboard` and all below it.
bool is_of_dashboard(std::string_view path);

/// The answer to a GET of such a path: a file, or where it is.
Response dashboard_response(const Request& request);

}  // namespace sema::http
