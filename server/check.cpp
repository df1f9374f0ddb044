#include "server/check.hpp"

#include "server/admin_token.hpp"
#include "server/backup.hpp"
#include "server/callback/authorities.hpp"
#include "server/declared_pools.hpp"
#include "server/open_store.hpp"
#include "server/secret_file.hpp"
#include "server/show_pools.hpp"
#include "server/tls.hpp"

#include <optional>
#include <utility>

namespace sema {
namespace {

using Check = void (*)(const Options& options, CheckReport& report);

// What systemd hands to a service only that can read: not even a `semad check` that runs before its reload.
bool is_out_of_reach(const std::string& file, CheckReport& report) {
    if (!is_credential_of_another(file)) return false;
    report.doubtful.push_back("cannot read the credential " + file + ", which was not checked");
    return true;
}

// A configuration with errors would not have been read.
void check_configuration(const Options& options, CheckReport& report) {
    if (options.config_file.empty()) return;
    const std::size_t pools = options.pools.size();
    report.right.push_back("the configuration " + options.config_file + " is right, and declares " +
                           std::to_string(pools) + (pools == 1 ? " pool" : " pools"));
    report.doubtful.insert(report.doubtful.end(), options.warnings.begin(), options.warnings.end());
}

void check_admin_token(const Options& options, CheckReport& report) {
    if (is_out_of_reach(options.admin_token_file, report)) return;
    const auto token = read_admin_token(options.admin_token_file, options.admin_token_lead);
    if (!token) {
        report.wrong.push_back(token.error().message);
    } else if (token->exposed) {
        report.doubtful.push_back(exposure_of_token(options.admin_token_file));
    }
}

void check_tls(const Options& options, CheckReport& report) {
    if (options.tls.certificate.empty()) return;
    for (const std::string& file : {options.tls.certificate, options.tls.key, options.tls.client_ca}) {
        if (is_out_of_reach(file, report)) return;
    }
    const auto tls = load_tls(options.tls);
    if (!tls) return report.wrong.push_back(tls.error().message);
    report.right.push_back("the certificate " + options.tls.certificate + " and its key can be used");
    report.doubtful.insert(report.doubtful.end(), tls->warnings.begin(), tls->warnings.end());
}

void check_callbacks(const Options& options, CheckReport& report) {
    if (const auto checked =
            callback::check_authorities(options.callback_authorities, options.callback_authorities_lead);
        !checked)
        report.wrong.push_back(checked.error().message);
}

Expected<std::string> state_of(const StoreOption& option, std::vector<std::string>& warnings) {
    if (std::holds_alternative<MemoryStoreOption>(option)) return "forgets all pools when semad ends";
    if (const auto* sqlite = std::get_if<SqliteStoreOption>(&option)) {
        warnings = sqlite_store_warnings(sqlite->path);
        const auto outlook = check_sqlite_store(sqlite->path, sqlite->missing_folder);
        if (!outlook) return tl::unexpected(outlook.error());
        if (outlook->is_missing) return "is not there yet, and will be made";
        if (outlook->is_in_use) return "is in use by another process, such as a semad that runs";
        if (outlook->is_read_only)
            warnings.push_back("the copy " + sqlite->path +
                               " is write-protected: make it writable before semad is to use it");
        return stock_of(*outlook->store).map([](const std::string& stock) {
            return "can be used, and has " + stock;
        });
    }
    if (auto of_new = warnings_of_new_store(option)) {
        warnings = *std::move(of_new);
        return "is not there yet, and will be made";
    }
    const auto opened = open_store(option);
    if (!opened) return tl::unexpected(opened.error());
    warnings = opened->warnings;
    const auto pools = opened->store->pool_count();
    if (!pools) return tl::unexpected(pools.error());
    return "can be used, and has " + std::to_string(*pools) + (*pools == 1 ? " pool" : " pools");
}

void check_store(const Options& options, CheckReport& report) {
    const auto* redis = std::get_if<RedisStoreOption>(&options.store);
    if (redis && is_out_of_reach(redis->password_file, report)) return;
    std::vector<std::string> warnings;
    const auto state = state_of(options.store, warnings);
    report.doubtful.insert(report.doubtful.end(), warnings.begin(), warnings.end());
    if (!state) {
        report.wrong.push_back(state.error().message);
    } else {
        report.right.push_back("the store " + describe(options.store) + " " + *state);
    }
}

// That two pools have one id is known only with the ids that the store's seed makes.
void check_pools(const Options& options, CheckReport& report) {
    std::optional<std::string> seed;
    if (need_seed(options.pools)) {
        seed = stored_seed(options.store).value_or(std::nullopt);
        if (!seed) return;
    }
    if (const auto pools = with_ids(options.pools, seed); !pools)
        report.wrong.push_back(pools.error().message);
}

// What else a start reads, such as further files, is one more of these.
constexpr Check checks[] = {check_configuration, check_admin_token, check_tls, check_callbacks};
constexpr Check checks_of_start[] = {check_store, check_pools};

}  // namespace

CheckReport check(const CheckOptions& options) {
    CheckReport report;
    for (const Check each : checks)
        each(options.options, report);
    if (options.for_reload) return report;
    for (const Check each : checks_of_start)
        each(options.options, report);
    return report;
}

}  // namespace sema
