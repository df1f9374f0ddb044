#include "server/settings.hpp"

#include "common/closest_word.hpp"
#include "common/numbers.hpp"
#include "common/wire.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

namespace sema {
namespace {

using Texts = std::vector<std::string>;

constexpr NumberRange any_limit{0, 1'000'000'000};

// Each reader below puts the value where `target`, called with the draft, leads.

template <class Target>
ValueReader one_text(Target target) {
    return {ValueKind::text, [target](const Texts& texts, Draft& draft) -> Expected<void> {
                if (texts.front().empty()) return failure("it is empty");
                target(draft) = texts.front();
                return {};
            }};
}

template <class Target>
ValueReader path(Target target) {
    return {ValueKind::file, [target](const Texts& texts, Draft& draft) -> Expected<void> {
                if (texts.front().empty()) return failure("needs a file");
                target(draft) = texts.front();
                return {};
            }};
}

template <class Target>
ValueReader number(NumberRange range, Target target) {
    return {ValueKind::number, [range, target](const Texts& texts, Draft& draft) -> Expected<void> {
                const auto read = parse_number(texts.front(), range);
                if (!read) return tl::unexpected(read.error());
                auto& value = target(draft);
                value = static_cast<std::remove_reference_t<decltype(value)>>(*read);
                return {};
            }};
}

template <class Target>
ValueReader duration(Target target) {
    return {ValueKind::duration, [target](const Texts& texts, Draft& draft) -> Expected<void> {
                const auto read = parse_duration(texts.front());
                if (!read) return tl::unexpected(read.error());
                target(draft) = *read;
                return {};
            }};
}

template <class Target>
ValueReader positive_duration(Target target) {
    return {ValueKind::duration,
            [read = duration(target).read](const Texts& texts, Draft& draft) -> Expected<void> {
                const auto parsed = parse_duration(texts.front());
                if (parsed && *parsed == Duration::zero()) return failure("must be longer than 0");
                return read(texts, draft);
            }};
}

template <class Target>
ValueReader yes_or_no(Target target) {
    return {ValueKind::yes_or_no, [target](const Texts& texts, Draft& draft) -> Expected<void> {
                if (texts.front() != "true" && texts.front() != "false")
                    return failure("'" + texts.front() + "' is not true or false");
                target(draft) = texts.front() == "true";
                return {};
            }};
}

// One of some words, each with its value.
template <class Value, class Target>
ValueReader choice(std::vector<std::pair<std::string, Value>> words, Target target) {
    return {ValueKind::text, [words, target](const Texts& texts, Draft& draft) -> Expected<void> {
                Texts known;
                for (const auto& [word, value] : words) {
                    known.push_back(word);
                    if (word != texts.front()) continue;
                    target(draft) = value;
                    return {};
                }
                return failure("'" + texts.front() + "' is not " + alternatives(known));
            }};
}

// What `parse` makes of the text.
template <class Parse, class Target>
ValueReader parsed(Parse parse, Target target) {
    return {ValueKind::text, [parse, target](const Texts& texts, Draft& draft) -> Expected<void> {
                auto value = parse(texts.front());
                if (!value) return tl::unexpected(value.error());
                target(draft) = std::move(*value);
                return {};
            }};
}

// What `parse` makes of each text.
template <class Parse, class Target>
ValueReader each_parsed(Parse parse, Target target) {
    return {ValueKind::texts, [parse, target](const Texts& texts, Draft& draft) -> Expected<void> {
                auto& values = target(draft);
                values.clear();
                for (const std::string& text : texts) {
                    auto value = parse(text);
                    if (!value) return tl::unexpected(value.error());
                    values.push_back(std::move(*value));
                }
                if (values.empty()) return failure("it is empty");
                return {};
            }};
}

Expected<StoreOption> redis_store(const std::string& url) {
    RedisStoreOption option;
    auto address = parse_redis_address(url);
    if (!address) return tl::unexpected(address.error());
    option.redis.address = std::move(*address);
    return option;
}

Expected<StoreOption> postgresql_store(const std::string& url) {
    PostgresqlStoreOption option;
    auto address = parse_postgresql_address(url);
    if (!address) return tl::unexpected(address.error());
    option.postgresql.address = std::move(*address);
    return option;
}

const std::vector<std::pair<std::string, std::string>> log_levels = {
    {"debug", "debug"}, {"info", "info"}, {"warn", "warn"}, {"error", "error"}, {"off", "off"}};

}  // namespace

Source Draft::source_of(const std::string& setting) const {
    const auto found = origins.find(setting);
    return found == origins.end() ? Source::preset : found->second.source;
}

std::string ServerSetting::variable() const {
    std::string text = "SEMAD_" + name;
    for (char& c : text)
        c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return text;
}

std::span<const ServerSetting> server_settings() {
    static const std::vector<ServerSetting> all = {
        {"listen", "listen", "ADDRESS",
         "HOST:PORT or unix:/PATH to listen on; may be repeated (127.0.0.1:7717)",
         each_parsed(
             http::parse_listen_address, [](Draft & d) -> auto& { return d.options.listen; })},
        {"socket-mode", "socket-mode", "MODE",
         "Who may use the Unix sockets: the mode of their files, as 0660 (what the umask leaves)",
         parsed(
             http::parse_socket_mode, [](Draft & d) -> auto& { return d.socket_mode; })},
        {"socket-group", "socket-group", "GROUP", "The group of the Unix sockets' files (semad's own)",
         parsed(
             http::find_group, [](Draft & d) -> auto& { return d.socket_group; })},
        {"tls-cert", "tls.certificate", "FILE",
         "Speak TLS, with the certificate in this file and those that lead to its authority (none)",
         path([](Draft & d) -> auto& { return d.options.tls.certificate; }), OnReload::taken},
        {"tls-key", "tls.key", "FILE", "The file with the certificate's key (none)",
         path([](Draft & d) -> auto& { return d.options.tls.key; }), OnReload::taken},
        {"tls-client-ca", "tls.client-ca", "FILE",
         "Serve only clients with a certificate of an authority in this file (any client)",
         path([](Draft & d) -> auto& { return d.options.tls.client_ca; }), OnReload::taken},
        {"store", "store", "STORE",
         "sqlite:PATH, memory:, redis://HOST or postgresql://HOST/DATABASE (sqlite: in your state folder)",
         parsed(
             parse_store, [](Draft & d) -> auto& { return d.store; })},
        {"redis-wait-replicas", "redis-wait-replicas", "N",
         "On how many replicas of that Redis a change is before it is answered (0)",
         number(
             {0, 100}, [](Draft & d) -> auto& { return d.redis_wait_replicas.emplace(); })},
        {"redis-password-file", "redis-password-file", "FILE",
         "A file whose first line is the password for that Redis (none)",
         path([](Draft & d) -> auto& { return d.redis_password_file; })},
        {"admin-token-file", "admin-token-file", "FILE",
         "A file whose first line is the token with which all pools can be listed (nobody can)",
         path([](Draft & d) -> auto& { return d.options.admin_token_file; })},
        {"history", "history", "T", "For how long it is kept who had which slot; 0 keeps nothing (30d)",
         duration([](Draft & d) -> auto& { return d.options.history; }), OnReload::taken},
        {"max-ttl", "limits.max-ttl", "T", "The longest lease; a longer ttl is cut to it (1d)",
         positive_duration([](Draft & d) -> auto& { return d.options.limits.max_ttl; }), OnReload::taken},
        {"max-wait", "limits.max-wait", "T", "The longest wait of one borrow; a longer one is cut to it (5m)",
         duration([](Draft & d) -> auto& { return d.options.limits.max_wait; }), OnReload::taken},
        {"max-hold", "limits.max-hold", "T", "The longest life of a lease that is kept alive (no limit)",
         positive_duration([](Draft & d) -> auto& { return d.options.limits.pool.max_hold; }),
         OnReload::taken},
        {"max-callback-wait", "limits.max-callback-wait", "T",
         "The longest wait of a borrower that is to be called; a longer one is cut to it (1d)",
         positive_duration([](Draft & d) -> auto& { return d.options.limits.max_callback_wait; }),
         OnReload::taken},
        {"rejoin", "limits.rejoin", "T",
         "How long a borrower that lost its connection may come back to its place (15s)",
         duration([](Draft & d) -> auto& { return d.options.limits.pool.rejoin; }), OnReload::taken},
        {"max-count", "limits.max-count", "N", "The most slots a pool may have (1000)",
         number(
             {0, wire::largest_count}, [](Draft & d) -> auto& { return d.options.limits.max_count; }),
         OnReload::taken},
        {"max-pools", "limits.max-pools", "N", "The most pools there may be (200000)",
         number(
             any_limit, [](Draft & d) -> auto& { return d.options.limits.max_pools; }),
         OnReload::taken},
        {"max-waiters", "limits.max-waiters", "N", "The most borrows that may wait at a time (100000)",
         number(
             any_limit, [](Draft & d) -> auto& { return d.options.limits.max_waiters; }),
         OnReload::taken},
        {"max-connections", "limits.max-connections", "N",
         "The most connections at a time (as many as file descriptors allow)",
         number(
             any_limit, [](Draft & d) -> auto& { return d.options.max_connections; }),
         OnReload::taken},
        {"threads", "threads", "N", "Threads that serve connections (one per two processors)",
         number(
             {0, 1024}, [](Draft & d) -> auto& { return d.options.threads; })},
        {"log-format", "log.format", "FORM", "How the log on stderr is written: text or json (text)",
         choice<LogFormat>(
             {{"text", LogFormat::text}, {"json", LogFormat::json}},
             [](Draft & d) -> auto& { return d.options.log_format; }),
         OnReload::taken},
        {"log-level", "log.level", "LEVEL", "What is logged at least: debug, info, warn, error or off (info)",
         choice(
             log_levels, [](Draft & d) -> auto& { return d.options.log_level; }),
         OnReload::taken},
        {"access-log", "log.access", "", "Log a line for each request (no)",
         yes_or_no([](Draft & d) -> auto& { return d.options.access_log; }), OnReload::taken},
        {"callback-allow", "callbacks.allow", "PATTERN",
         "A HOST, *.DOMAIN, address or network, perhaps with :PORT, that may be called; may be repeated "
         "(none)",
         each_parsed(
             callback::parse_pattern, [](Draft & d) -> auto& { return d.options.callback_allow; }),
         OnReload::taken},
        {"callback-ca", "callbacks.ca", "FILE",
         "The authorities whose certificates receivers of callbacks have (the system's)",
         path([](Draft & d) -> auto& { return d.options.callback_authorities; }), OnReload::taken},
        {"metrics-listen", "metrics.listen", "ADDRESS",
         "HOST:PORT or unix:/PATH to serve metrics on, to whoever asks (with the admin token only)",
         parsed(
             http::parse_listen_address, [](Draft & d) -> auto& { return d.options.metrics_listen; })},
        {"dashboard", "dashboard", "",
         "Serve a page for people, at /dashboard/ of the addresses listened on (no)",
         yes_or_no([](Draft & d) -> auto& { return d.options.dashboard; })},
        {"dashboard-listen", "dashboard.listen", "ADDRESS",
         "HOST:PORT or unix:/PATH to serve that page on, with all calls of --listen (none)",
         parsed(
             http::parse_listen_address, [](Draft & d) -> auto& { return d.options.dashboard_listen; })},
    };
    return all;
}

Expected<StoreOption> parse_store(const std::string& text) {
    constexpr std::string_view sqlite = "sqlite:";
    if (text == "memory:") return MemoryStoreOption{};
    if (text.rfind(sqlite, 0) == 0 && text.size() > sqlite.size()) {
        return SqliteStoreOption{text.substr(sqlite.size())};
    }
    // What begins like this may have a password further on.
    if (is_redis_url(text)) return redis_store(text);
    if (is_postgresql_url(text)) return postgresql_store(text);
    // There may be a password in it.
    const std::string shown = text.find('@') == text.npos ? text : text.substr(0, text.find(':')) + ":...";
    return failure("'" + shown +
                   "' is not a store: write sqlite:PATH, memory:, redis://HOST or "
                   "postgresql://HOST/DATABASE");
}

}  // namespace sema
