#include "common/printable.hpp"
#include "common/version.hpp"
#include "server/admin_token.hpp"
#include "server/backup.hpp"
#include "server/callback/authorities.hpp"
#include "server/callback/sender.hpp"
#include "server/check.hpp"
#include "server/counted.hpp"
#include "server/declared_pools.hpp"
#include "server/given_sockets.hpp"
#include "server/http/http_server.hpp"
#include "server/log.hpp"
#include "server/migration.hpp"
#include "server/monitor.hpp"
#include "server/notify.hpp"
#include "server/open_store.hpp"
#include "server/options.hpp"
#include "server/reload.hpp"
#include "server/service/clock.hpp"
#include "server/service/history.hpp"
#include "server/service/service.hpp"
#include "server/show_pools.hpp"
#include "server/tls.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/system_error.hpp>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace sema {
namespace {

// Bad usage, and whatever else stands in the way of starting.
constexpr int exit_refused = 2;
// Everything is to be over 5 seconds after a TERM.
constexpr std::chrono::milliseconds drain_patience(4000);
// For people who look at `systemctl status`.
constexpr std::chrono::seconds longest_status_interval(5);
// More frequent signs of life cost more than they are worth; and timers count no more than some centuries.
constexpr std::chrono::microseconds shortest_life_interval = std::chrono::milliseconds(50);
constexpr std::chrono::microseconds longest_life_interval = std::chrono::hours(1);
// Descriptors that are not connections: the store's files, the listeners, the event queues.
constexpr std::size_t reserved_descriptors = 64;

// Raises the soft limit to the hard one: every waiter holds a descriptor.
std::size_t available_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

// The others are left to the system, whose work for each request is as much again, and to the clients.
unsigned default_threads() {
    return std::max(1U, std::thread::hardware_concurrency() / 2);
}

// A quarter of the descriptors is for calls to borrowers, where that is less than these can use.
unsigned call_limit() {
    const std::size_t most = available_descriptors() / 4 / callback::descriptors_per_call;
    return static_cast<unsigned>(std::clamp<std::size_t>(most, 1, callback::most_calls));
}

std::size_t connection_limit(const Options& options) {
    const std::size_t descriptors = available_descriptors();
    std::size_t most =
        descriptors > 2 * reserved_descriptors ? descriptors - reserved_descriptors : descriptors / 2;
    if (!options.callback_allow.empty())
        most -= std::min<std::size_t>(call_limit() * callback::descriptors_per_call, most / 2);
    const std::size_t wanted = options.max_connections;
    return wanted == 0 ? most : std::min(wanted, most);
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : ", ") + word;
    return text;
}

// While a server listens there, in this run of the kernel and in this network of it, no other one can.
std::string place_of(const std::vector<std::string>& addresses) {
    std::error_code error;
    const auto network = std::filesystem::read_symlink("/proc/self/ns/net", error);
    return OsClocks::real().boot_id + " " + network.string() + " " + joined(addresses);
}

std::unique_ptr<Service> make_service(const OpenStore& opened, Clock& clock, const ServiceLimits& limits,
                                      const Log& log) {
    const auto report = [&log](const std::string& trouble) {
        trouble.empty() ? log.info("the store works again") : log.error(trouble);
    };
    if (opened.shared) return std::make_unique<Service>(*opened.shared, clock, limits, report);
    return std::make_unique<Service>(*opened.store, clock, limits, report);
}

/// Reports the use of the server to the supervisor, where it has changed since the last report.
class StatusReport {
  public:
    explicit StatusReport(const Service& service) : service_(&service) {}

    void operator()() {
        const Service::Use use = service_->use();
        std::string line = counted(use.pools, "pool") + ", " + counted(use.leases, "lease") + ", " +
                           counted(use.waiters, "waiter");
        if (line == reported_) return;
        notify_supervisor_status(line);
        reported_ = std::move(line);
    }

  private:
    const Service* service_;
    std::string reported_;
};

void report_to_supervisor(http::HttpServer& server, const Service& service) {
    std::chrono::microseconds interval = longest_status_interval;
    if (const auto patience = supervisor_patience()) {
        // Twice as often as is asked for: one message may be late.
        const auto half = std::clamp(*patience / 2, shortest_life_interval, longest_life_interval);
        server.report_life(half, [] { notify_supervisor_alive(); });
        interval = std::min(interval, half);
    }
    if (has_supervisor()) server.report_life(interval, StatusReport(service));
}

// A start that is refused for its addresses makes no store.
Expected<void> can_listen(const Options& options, const std::vector<int>& given) {
    const auto* sqlite = std::get_if<SqliteStoreOption>(&options.store);
    std::error_code unknown;
    if (!sqlite || std::filesystem::exists(sqlite->path, unknown)) return {};
    std::vector<http::ListenAddress> addresses;
    if (given.empty()) addresses = options.listen;
    for (const auto& more : {options.metrics_listen, options.dashboard_listen}) {
        if (more) addresses.push_back(*more);
    }
    return http::try_to_listen(addresses);
}

// The seed of the ids of declared pools, as far as it may be needed: a reload may declare pools too. Once the
// service has the store, it cannot be asked for.
Expected<std::optional<std::string>> seed_for(const Options& options, Store& store) {
    if (options.config_file.empty()) return std::nullopt;
    auto seed = store.seed();
    if (seed && !*seed)
        seed = store.keep_seed(fresh_seed()).map([](const std::string& kept) { return std::optional(kept); });
    if (!seed && !need_seed(options.pools)) return std::nullopt;
    return seed;
}

callback::RequestOptions request_options(const Options& options) {
    return {callback::AllowList(options.callback_allow), options.callback_authorities};
}

// Has further calls to borrowers made as the options say.
Reload::Prepare callbacks_part(callback::Sender& sender) {
    return [&](const Options& next) -> Expected<Reload::Apply> {
        if (auto checked =
                callback::check_authorities(next.callback_authorities, next.callback_authorities_lead);
            !checked)
            return tl::unexpected(checked.error());
        return [&] { sender.set(request_options(next)); };
    };
}

void log_dashboard(const Log& log, const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses)
        log.info("dashboard on " + address + (address.starts_with("unix:") ? "" : "/dashboard/"));
}

// Has further connections begin with what the files hold now.
Reload::Prepare tls_part(http::TlsContext& tls, const Log& log) {
    return [&](const Options& next) -> Expected<Reload::Apply> {
        if ((tls.settings() == nullptr) != next.tls.certificate.empty())
            return [&log] { log.warn("TLS begins and ends only with the next start"); };
        auto loaded = load_tls(next.tls);
        if (!loaded) return tl::unexpected(loaded.error());
        return [&tls, &log, loaded = std::move(*loaded)] {
            tls.replace(loaded.settings);
            for (const std::string& warning : loaded.warnings)
                log.warn(warning);
        };
    };
}

// Brings pools to what the file says.
Reload::Prepare pools_part(PoolKeeper& keeper, const std::optional<std::string>& seed, const Log& log) {
    return [&](const Options& next) -> Expected<Reload::Apply> {
        if (!seed && need_seed(next.pools))
            return failure("the store gave no ids for pools when semad started: start semad anew");
        auto pools = with_ids(next.pools, seed);
        if (!pools) return tl::unexpected(pools.error());
        return [&keeper, &log, pools = std::move(*pools)] {
            for (const std::string& name : missing_names(keeper.pools(), pools))
                log.warn(
                    "the pool '" + name +
                    "' is no longer in the configuration: it stays as it is (semactl delete removes it)");
            keeper.keep(pools);
        };
    };
}

// What SIGHUP does. `options` are those of the start.
void reload_settings(const Options& options, const std::function<Expected<Options>()>& read_again,
                     const Reload& reload, const Log& log) {
    notify_supervisor_reloading();
    const auto next = read_again();
    const Expected<void> taken = next ? reload.take(*next) : tl::unexpected(next.error());
    if (taken) {
        for (const std::string& warning : next->warnings)
            log.warn(warning);
        if (const auto changed = changed_but_kept(options, *next); !changed.empty())
            log.warn("changed, but taken only at the next start: " + joined(changed));
        log.info("the settings were read anew");
    } else {
        log.error("nothing was reloaded: " + taken.error().message);
    }
    notify_supervisor("READY=1");
}

/// Blocks or unblocks, for this thread, the signals that end semad or have it read its settings anew. A
/// thread that it starts inherits that.
void mask_signals(int how) {
    sigset_t handled;
    sigemptyset(&handled);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        sigaddset(&handled, signal);
    pthread_sigmask(how, &handled, nullptr);
}

Expected<void> serve(const Options& options, const std::function<Expected<Options>()>& read_again) {
    // Those that do the work are not interrupted: signals wait for this one.
    mask_signals(SIG_BLOCK);
    Log log(options.log_format, options.log_level);

    // Handled from here on, so that a TERM during the start is not lost, and a HUP does not end it.
    boost::asio::io_context signals_context;
    boost::asio::signal_set signals(signals_context, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code&, int) { signals_context.stop(); });
    boost::asio::signal_set hangups(signals_context, SIGHUP);

    auto admin_token = read_admin_token(options.admin_token_file, options.admin_token_lead);
    if (!admin_token) return tl::unexpected(admin_token.error());
    if (auto checked =
            callback::check_authorities(options.callback_authorities, options.callback_authorities_lead);
        !checked)
        return checked;
    const auto loaded_tls = load_tls(options.tls);
    if (!loaded_tls) return tl::unexpected(loaded_tls.error());
    http::TlsContext tls(loaded_tls->settings);
    auto given = given_sockets();
    if (!given) return tl::unexpected(given.error());
    if (auto possible = can_listen(options, *given); !possible) return possible;
    auto opened = open_store(options.store);
    if (!opened) return tl::unexpected(opened.error());
    const auto anchor = opened->store->anchor();
    if (!anchor) return tl::unexpected(anchor.error());
    const auto seed = seed_for(options, *opened->store);
    if (!seed) return tl::unexpected(seed.error());
    const auto declared = with_ids(options.pools, *seed);
    if (!declared) return tl::unexpected(declared.error());
    const std::unique_ptr<Clock> clock = make_clock(*opened, *anchor);
    History history(std::move(opened->history), *clock, options.history, [&log](const std::string& trouble) {
        trouble.empty() ? log.info("the history works again")
                        : log.error(trouble + " (slots are lent all the same)");
    });
    const std::unique_ptr<Service> service = make_service(*opened, *clock, options.limits, log);
    service->keep_history(history);

    callback::Sender sender(
        *service, *clock, [&log](const std::string& line) { log.warn(line); }, {}, call_limit());
    sender.set(request_options(options));
    service->deliver_by(sender);

    Monitor monitor(options, !admin_token->token.empty(), *service, *clock, log);
    monitor.add([&sender](MetricsText& text) { sender.write_metrics(text); });
    http::Routes routes(*service, *clock, options.limits.max_count, std::move(admin_token->token));
    routes.take_callbacks([&sender](const wire::Callback& callback) { return sender.check(callback); });
    http::HttpOptions http_options;
    http_options.given = *std::move(given);
    http_options.listen = options.listen;
    if (options.dashboard) http_options.serves = http::Serves::calls_and_dashboard;
    http_options.dashboard = options.dashboard_listen;
    http_options.socket_access = options.socket_access;
    http_options.threads = options.threads > 0 ? options.threads : default_threads();
    const std::size_t connections = connection_limit(options);
    http_options.max_connections = connections;
    if (loaded_tls->settings) http_options.tls = &tls;
    monitor.observe(http_options);
    http::HttpServer server(routes, http_options);
    if (auto listening = server.listen(); !listening) return listening;
    if (auto listening = monitor.listen(options, routes, server); !listening) return listening;

    std::vector<std::string> warnings = opened->warnings;
    if (SharedStore* const shared = opened->shared) {
        // Where that fails, the others miss an earlier run of this server all the same, a little
        // later.
        const auto announced = shared->serve_at(place_of(server.addresses()));
        // What a store that cannot be reached lacks is among the warnings.
        if (!announced && shared->reachable()) warnings.push_back(announced.error().message);
    }
    history.start();
    service->start();
    sender.start();
    PoolKeeper keeper(signals_context, *service, [&log](const std::string& trouble) {
        trouble.empty() ? log.info("all pools of the configuration are there") : log.error(trouble);
    });
    keeper.keep(*declared);
    report_to_supervisor(server, *service);
    server.start();
    monitor.start();
    log.notice(std::string("semad ") + version + " listening on " + joined(server.addresses()) + ", store " +
               describe(options.store));
    if (std::holds_alternative<SqliteStoreOption>(options.store) && !*anchor && declared->empty())
        log.info("the store is new: it has no pools yet");
    for (const std::string& address : monitor.addresses())
        log.info("metrics on " + address);
    if (options.dashboard) log_dashboard(log, server.addresses());
    log_dashboard(log, server.dashboard_addresses());
    for (const std::string& missing : server.missing_addresses())
        log.info("not listening on " + missing);
    if (connections < options.max_connections) {
        log.warn("--max-connections " + std::to_string(options.max_connections) +
                 " is more than the file descriptors allow: taking " + std::to_string(connections));
    }
    if (admin_token->exposed) log.warn(exposure_of_token(options.admin_token_file));
    warnings.insert(warnings.begin(), options.warnings.begin(), options.warnings.end());
    warnings.insert(warnings.end(), loaded_tls->warnings.begin(), loaded_tls->warnings.end());
    for (const std::string& warning : warnings)
        log.warn(warning);
    notify_supervisor("READY=1");

    // What reloads. Each part first prepares what can fail; only then do the new settings replace the old.
    Reload reload;
    reload.add([&](const Options& next) -> Expected<Reload::Apply> {
        return [&] {
            log.set(next.log_format, next.log_level);
            monitor.set_access_log(next);
            service->set_limits(next.limits);
            const bool was_kept = history.is_kept();
            history.set_age(next.history);
            if (was_kept && !history.is_kept())
                log.notice("no history is kept any more, and what was kept is removed");
            routes.set_max_count(next.limits.max_count);
            server.set_max_connections(connection_limit(next));
        };
    });
    reload.add(tls_part(tls, log));
    reload.add(callbacks_part(sender));
    reload.add(pools_part(keeper, *seed, log));
    std::function<void(const boost::system::error_code&, int)> on_hangup =
        [&](const boost::system::error_code& stopped, int) {
            if (stopped) return;
            reload_settings(options, read_again, reload, log);
            hangups.async_wait(on_hangup);
        };
    hangups.async_wait(on_hangup);
    mask_signals(SIG_UNBLOCK);
    signals_context.run();

    notify_supervisor("STOPPING=1");
    log.info("stopping");
    server.drain();
    service->drain();
    history.drain();
    sender.drain(drain_patience);
    server.wait_until_drained(drain_patience);
    sender.stop();
    monitor.stop();
    server.stop();
    service->stop();
    // The last answers go out, and what they leased to clients that have gone is given back.
    server.hand_out_rest();
    service->stop();
    history.stop();
    log.info("stopped");
    return {};
}

int print(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : exit_refused;
}

int print(const CheckReport& report) {
    for (const std::string& line : report.wrong)
        std::fprintf(stderr, "semad: %s\n", printable(line).c_str());
    for (const std::string& line : report.doubtful)
        std::fprintf(stderr, "semad: warning: %s\n", printable(line).c_str());
    std::string text;
    for (const std::string& line : report.right)
        text += line + "\n";
    const int printed = print(text);
    return report.wrong.empty() ? printed : exit_refused;
}

int run(int argc, char** argv) {
    // A write that cannot be done is an error to answer, not a reason to die: to a client that is gone, or
    // beyond the size that a file may have (`ulimit -f`).
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    const auto parsed = parse_options(argc, argv);
    const auto read_again = [argc, argv] {
        return parse_options(argc, argv).map([](Parsed&& again) {
            return std::get<Options>(std::move(again));
        });
    };
    Expected<void> done;
    if (!parsed) {
        done = tl::unexpected(parsed.error());
    } else if (const auto* printed = std::get_if<Printed>(&*parsed)) {
        return print(printed->text);
    } else if (const auto* migration = std::get_if<MigrateOptions>(&*parsed)) {
        const auto report = run_migration(*migration);
        if (report) return print(*report);
        done = tl::unexpected(report.error());
    } else if (const auto* backup = std::get_if<BackupOptions>(&*parsed)) {
        const auto report = run_backup(*backup);
        if (report) return print(*report);
        done = tl::unexpected(report.error());
    } else if (const auto* checked = std::get_if<CheckOptions>(&*parsed)) {
        return print(check(*checked));
    } else if (const auto* pools = std::get_if<PoolsOptions>(&*parsed)) {
        const auto shown = show_pools(pools->options);
        if (shown) {
            if (!shown->note.empty()) std::fprintf(stderr, "semad: %s\n", printable(shown->note).c_str());
            return print(shown->table);
        }
        done = tl::unexpected(shown.error());
    } else {
        done = serve(std::get<Options>(*parsed), read_again);
    }
    if (done) return 0;
    std::fprintf(stderr, "semad: %s\n", printable(done.error().message).c_str());
    return exit_refused;
}

}  // namespace
}  // namespace sema

int main(int argc, char** argv) {
    try {
        return sema::run(argc, argv);
    } catch (const boost::system::system_error& error) {
        // Its own text has the place in the library.
        std::fprintf(stderr, "semad: the system does not let it go on: %s\n", error.code().message().c_str());
        return 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "semad: %s\n", error.what());
        return 1;
    }
}
