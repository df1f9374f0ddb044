#include "server/migration.hpp"

#include "server/counted.hpp"
#include "server/open_store.hpp"
#include "server/service/migrate.hpp"

#include <cstdio>

namespace sema {
namespace {

Expected<void> check_unused(const OpenStore& opened, const StoreOption& option) {
    if (!opened.shared) return {};
    const auto used = opened.shared->is_in_use();
    if (!used) return tl::unexpected(used.error());
    if (*used)
        return failure("a server uses " + describe(option) +
                       ", or the two stores are one: stop all servers before the migration");
    return {};
}

}  // namespace

Expected<std::string> run_migration(const MigrateOptions& options) {
    const auto from = read_store(options.from);
    if (!from) return tl::unexpected(from.error());
    const auto to = open_store(options.to);
    if (!to) return tl::unexpected(to.error());
    if (auto unused = check_unused(*from, options.from); !unused) return tl::unexpected(unused.error());
    if (auto unused = check_unused(*to, options.to); !unused) return tl::unexpected(unused.error());
    const auto from_anchor = from->store->anchor();
    if (!from_anchor) return tl::unexpected(from_anchor.error());
    const auto to_anchor = to->store->anchor();
    if (!to_anchor) return tl::unexpected(to_anchor.error());
    const auto from_clock = make_clock(*from, *from_anchor);
    const auto to_clock = make_clock(*to, *to_anchor);
    const auto done = migrate(*from->store, *from_clock, *to->store, *to_clock, options.rejoin);
    if (!done) return tl::unexpected(done.error());
    // The user should know how the new store may lose leases before it loses any, and what the other lacks.
    for (const std::string& warning : from->warnings)
        std::fprintf(stderr, "semad: warning: about %s: %s\n", describe(options.from).c_str(),
                     warning.c_str());
    for (const std::string& warning : to->warnings)
        std::fprintf(stderr, "semad: warning: %s\n", warning.c_str());
    return "copied " + counted(done->pools, "pool") + " and " + counted(done->leases, "live lease") +
           " from " + describe(options.from) + " to " + describe(options.to) + "\n";
}

}  // namespace sema
