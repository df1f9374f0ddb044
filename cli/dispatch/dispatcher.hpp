#pragma once

#include "cli/dispatch/dispatch_file.hpp"
#include "cli/session.hpp"

#include <filesystem>
#include <optional>

namespace sema {

struct DispatchOptions {
    std::filesystem::path file;
    /// How long running commands are waited for once no more tasks are to be started.
    std::optional<Duration> patience;
    /// One pass.
    bool once = false;
};

/// The pool that a dispatch file names, or else its own.
Expected<PoolRef> resolve_pool(const DispatchPool& pool, const Config& config);

/// The exit status where that failed: what the file says is wrong, or the state folder.
int status_of_unresolved(const DispatchPool& pool);

/// `semactl dispatch FILE`. The exit status.
int run_dispatcher(const DispatchOptions& options, Session& session);

}  // namespace sema
