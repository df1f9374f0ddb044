#pragma once

#include "common/error.hpp"
#include "common/wire.hpp"

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace sema {

/// The options of `borrow` that say which URL to call once there is a slot.
struct CallbackOptions {
    std::string url;
    std::vector<std::string> headers;
    std::string body;
    std::string secret;
};

void add_callback_options(CLI::App& app, CallbackOptions& options);

/// What they say, with what `env:NAME` and `file:PATH` in them stand for. Error texts repeat none of that.
/// REQUIRES: there is a URL.
Expected<wire::Callback> callback_of(const CallbackOptions& options);

/// Which of them makes no sense without a URL; empty where none is given.
std::string misplaced_option(const CallbackOptions& options);

/// What to do where a server refuses to call anybody, or this receiver, for a reason of that text; empty
/// where it refuses something else.
std::string callback_advice(const wire::Callback& callback, const std::string& reason);

}  // namespace sema
