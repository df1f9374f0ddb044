#include "cli/pool_ref.hpp"

#include "cli/secret_ref.hpp"
#include "common/closest_word.hpp"
#include "common/given_text.hpp"

#include <algorithm>
#include <cctype>

namespace sema {
namespace {

template <class AnyId>
Expected<AnyId> fetch_id(const std::string& text) {
    const auto value = fetch_secret(text);
    if (!value) return tl::unexpected(value.error());
    if (const auto id = AnyId::parse(*value)) return *id;
    return failure("what " + text + " holds is not a UUID");
}

// A mistyped UUID is nearly the secret itself.
bool resembles_uuid(const std::string& text) {
    const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
    return std::count_if(text.begin(), text.end(), is_hex) >= 16;
}

// As documents shorten one: `74694115-...`. It may be a UUID's beginning or its end, or both.
bool is_abbreviated_uuid(const std::string& text) {
    for (const std::string dots : {"...", "\u2026"}) {
        const auto at = text.find(dots);
        if (at == text.npos) continue;
        const std::string rest = text.substr(0, at) + text.substr(at + dots.size());
        return !rest.empty() && rest.find_first_not_of("0123456789abcdefABCDEF-") == rest.npos;
    }
    return false;
}

constexpr const char* abbreviated = " UUID is abbreviated: all of its 36 characters are needed";

// `called` is what messages call the text.
Expected<PoolRef> resolve(const std::string& text, const std::string& called, const Config& config) {
    if (const auto id = PoolId::parse(text))
        return PoolRef{.id = *id, .name = "the pool", .argument = "POOL"};
    if (is_secret_ref(text)) {
        return fetch_id<PoolId>(text).map(
            [&](PoolId id) { return PoolRef{.id = id, .name = text, .argument = text}; });
    }

    if (const auto entry = config.pools.find(text); entry != config.pools.end()) {
        const PoolDefaults& defaults = entry->second;
        const auto named = [&](PoolId id) {
            return PoolRef{.id = id,
                           .name = text,
                           .argument = text,
                           .is_alias = true,
                           .ttl = defaults.ttl,
                           .wait = defaults.wait};
        };
        if (const auto id = PoolId::parse(defaults.id)) return named(*id);
        return fetch_id<PoolId>(defaults.id).map(named).map_error([&](const Error& error) {
            return Error{text + ": " + error.message};
        });
    }
    if (is_abbreviated_uuid(text)) return failure(std::string("the pool's") + abbreviated);
    if (resembles_uuid(text)) return failure("the pool's UUID is mistyped: it is not one");
    std::vector<std::string> aliases;
    for (const auto& [alias, defaults] : config.pools)
        aliases.push_back(alias);
    if (const std::string meant = closest_word(text, aliases); !meant.empty())
        return failure(called + " is no pool (did you mean '" + meant + "'?)");
    return failure(called + " is no pool: write a UUID, env:NAME, file:PATH, or an alias of " +
                   (config.path.empty() ? "the configuration file" : config.path.string()) +
                   (config.is_unreadable_said    ? ", which cannot be read"
                    : !config.unreadable.empty() ? " (" + config.unreadable + ")"
                    : is_alias_name(text)        ? " (semactl new --save makes one)"
                                                 : ""));
}

}  // namespace

bool is_alias_name(const std::string& name) {
    const auto allowed = [](unsigned char c) {
        return c == '-' || c == '_' || (c < 0x80 && std::isalnum(c));
    };
    return !name.empty() && name.front() != '-' && !resembles_uuid(name) &&
           std::all_of(name.begin(), name.end(), allowed);
}

Expected<PoolRef> resolve_pool(const std::string& text, const Config& config) {
    if (text != pool_of_environment) return resolve(text, "'" + text + "'", config);
    const auto refuse = [](const std::string& why) { return Error{"SEMACTL_POOL: " + why}; };
    const std::string value = environment_value("SEMACTL_POOL").value_or("");
    if (value.empty()) return tl::unexpected(refuse("the variable is empty, and has to name a pool"));
    return resolve(value, "what the variable holds", config).map_error([&](const Error& error) {
        return refuse(error.message);
    });
}

std::string advice_if_absent(const PoolRef& pool) {
    return (pool.is_alias ? "" : "check its UUID and --server; if both are right, ") +
           ("register it: semactl register " + pool.argument + " --count 4");
}

Expected<LeaseId> resolve_lease(const std::string& text) {
    if (const auto id = LeaseId::parse(text)) return *id;
    if (is_secret_ref(text)) return fetch_id<LeaseId>(text);
    if (is_abbreviated_uuid(text)) return failure(std::string("the lease's") + abbreviated);
    return failure("the lease must be a UUID, env:NAME or file:PATH");
}

}  // namespace sema
