#include "server/store/postgresql/connection.hpp"
#include "server/store/postgresql/postgresql_engine.hpp"

#include <optional>

namespace sema {
namespace {

// For what a pooler lends its connections, where that is not for whole sessions: while another client has a
// transaction open, it has the connection to PostgreSQL that was `connection`'s, or this one gets another.
// Where they are lent for single statements, no transaction may stay open. `process` is what served
// `connection`.
std::optional<std::string> what_they_are_lent_for(const PostgresqlStoreOptions& options,
                                                  postgresql::Connection& connection,
                                                  std::string_view process, postgresql::Deadline deadline) {
    constexpr auto which = "SELECT pg_backend_pid()::text";
    postgresql::Connection other;
    const auto is_opened = [&] {
        return other.open(options.address, postgresql::connect_limit) && other.exchange({{which}}, deadline);
    };
    if (!is_opened()) return std::nullopt;
    const auto others = other.exchange({{"BEGIN"}, {which}}, deadline);
    if (!others) return is_opened() ? std::optional("single statements") : std::nullopt;
    if (others->front().text(0, 0) != process) {
        const auto again = connection.exchange({{which}}, deadline);
        if (!again || again->front().text(0, 0) == process) return std::nullopt;
    }
    return "single transactions";
}

}  // namespace

std::vector<std::string> postgresql_store_warnings(const PostgresqlStoreOptions& options) {
    const auto unknown = [](const std::string& why) {
        return "what the store keeps when PostgreSQL ends could not be looked at: " + why +
               " (it should have fsync, full_page_writes and synchronous_commit on)";
    };
    postgresql::Connection connection;
    if (const auto opened = connection.open(options.address, postgresql::connect_limit); !opened)
        return {unknown(opened.error().why)};
    const auto deadline = postgresql::from_now(options.answer_limit);
    const auto settings = connection.exchange(
        postgresql::transaction(
            {{"SELECT current_setting('fsync'), current_setting('full_page_writes'), "
              "current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), "
              "(SELECT count(*) FROM pg_stat_replication), pg_backend_pid()"}}),
        deadline);
    if (!settings) return {unknown(settings.error().why)};
    const postgresql::Rows& row = settings->front();
    std::vector<std::string> warnings;
    for (const auto& [column, name] : {std::pair{0, "fsync"}, {1, "full_page_writes"}}) {
        if (row.text(0, column) == "on") continue;
        warnings.push_back(
            "a power cut can damage the store, so that a slot may be lent twice or all is lost (set " +
            std::string(name) + " = on)");
    }
    if (row.text(0, 2) == "off") {
        warnings.emplace_back(
            "the store writes changes to its disk after they were answered: those of the last second are "
            "lost in a "
            "crash, so that a slot may be lent twice (set synchronous_commit = on)");
    }
    const bool has_standby = row.text(0, 4) != "0";
    if (has_standby && (row.text(0, 3).empty() || row.text(0, 2) == "local")) {
        warnings.emplace_back(
            "a standby that is promoted may lack what was answered last, so that a slot may be lent twice "
            "(name it in "
            "synchronous_standby_names, with synchronous_commit = on)");
    }
    if (const auto lent = what_they_are_lent_for(options, connection, row.text(0, 5), deadline)) {
        warnings.push_back("a pooler lends its connections for " + *lent +
                           ", so that changes of other servers are heard of up to a second later (connect to "
                           "PostgreSQL itself, or set pool_mode = session)");
    }
    return warnings;
}

}  // namespace sema
