#include "common/version.hpp"
#include "server/admin_token.hpp"
#include "server/http/http_server.hpp"
#include "server/log.hpp"
#include "server/notify.hpp"
#include "server/options.hpp"
#include "server/secret_file.hpp"
#include "server/service/clock.hpp"
#include "server/service/migrate.hpp"
#include "server/service/service.hpp"
#include "server/store/memory/memory_store.hpp"
#include "server/store/redis/redis_store.hpp"
#include "server/store/sqlite/sqlite_store.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/system_error.hpp>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

namespace sema {
namespace {

// Bad usage, and whatever else stands in the way of starting.
constexpr int exit_refused = 2;
// Everything is to be over 5 seconds after a TERM.
constexpr std::chrono::milliseconds drain_patience(4000);
// Descriptors that are not connections: the store's files, the listeners, the event queues.
constexpr std::size_t reserved_descriptors = 64;

struct OpenStore {
    std::unique_ptr<Store> store;
    /// The same, if other servers can use it too.
    SharedStore* shared = nullptr;
    /// To be logged once we serve.
    std::vector<std::string> warnings{};
};

Expected<OpenStore> open_redis(const RedisStoreOption& option) {
    RedisStoreOptions redis = option.redis;
    std::vector<std::string> warnings;
    if (option.password_shown) {
        warnings.emplace_back(
            "the password of the store is on the command line, where ps shows it to everybody: use "
            "--redis-password-file or SEMAD_REDIS_PASSWORD");
    }
    if (const std::string& file = option.password_file; !file.empty()) {
        auto secret = read_secret(file);
        if (!secret)
            return failure("cannot take the password of the store from " + file + ": " +
                           secret.error().message);
        if (secret->exposed)
            warnings.push_back(file +
                               " holds the password of the store and others can read it (chmod 600 it)");
        redis.address.password = std::move(secret->text);
    }
    auto store = open_redis_store(redis);
    if (!store) return tl::unexpected(store.error());
    for (std::string& warning : redis_store_warnings(redis))
        warnings.push_back(std::move(warning));
    SharedStore* const shared = store->get();
    return OpenStore{.store = *std::move(store), .shared = shared, .warnings = std::move(warnings)};
}

Expected<OpenStore> open_store(const StoreOption& option) {
    if (const auto* redis = std::get_if<RedisStoreOption>(&option)) return open_redis(*redis);
    if (std::holds_alternative<MemoryStoreOption>(option)) return OpenStore{.store = make_memory_store()};
    const auto& file = std::get<SqliteStoreOption>(option);
    auto store = open_sqlite_store(file.path, file.missing_folder);
    if (!store) return tl::unexpected(store.error());
    return OpenStore{.store = *std::move(store), .warnings = sqlite_store_warnings(file.path)};
}

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

std::size_t connection_limit(std::size_t wanted) {
    const std::size_t descriptors = available_descriptors();
    const std::size_t most =
        descriptors > 2 * reserved_descriptors ? descriptors - reserved_descriptors : descriptors / 2;
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

std::unique_ptr<Clock> make_clock(const OpenStore& opened, const std::optional<ClockAnchor>& anchor) {
    if (opened.shared) return std::make_unique<StoreClock>(*opened.shared);
    return std::make_unique<SystemClock>(anchor);
}

std::unique_ptr<Service> make_service(const OpenStore& opened, Clock& clock, const ServiceLimits& limits,
                                      const Log& log) {
    const auto report = [&log](const std::string& trouble) {
        trouble.empty() ? log.info("the store works again") : log.error(trouble);
    };
    if (opened.shared) return std::make_unique<Service>(*opened.shared, clock, limits, report);
    return std::make_unique<Service>(*opened.store, clock, limits, report);
}

Expected<void> serve(const Options& options) {
    const Log log(options.log_format, options.log_level);

    // Handled from here on, so that a TERM during the start is not lost.
    boost::asio::io_context signals_context;
    boost::asio::signal_set signals(signals_context, SIGINT, SIGTERM);
    signals.async_wait([](const boost::system::error_code&, int) {});

    auto admin_token = read_admin_token(options.admin_token_file);
    if (!admin_token) return tl::unexpected(admin_token.error());
    const auto opened = open_store(options.store);
    if (!opened) return tl::unexpected(opened.error());
    const auto anchor = opened->store->anchor();
    if (!anchor) return tl::unexpected(anchor.error());
    const std::unique_ptr<Clock> clock = make_clock(*opened, *anchor);
    const std::unique_ptr<Service> service = make_service(*opened, *clock, options.limits, log);

    http::Routes routes(*service, *clock, options.limits.max_count, std::move(admin_token->token));
    http::HttpOptions http_options;
    http_options.listen = options.listen;
    http_options.socket_access = options.socket_access;
    http_options.threads = options.threads > 0 ? options.threads : default_threads();
    const std::size_t connections = connection_limit(options.max_connections);
    http_options.max_connections = connections;
    http::HttpServer server(routes, http_options);
    if (auto listening = server.listen(); !listening) return listening;

    std::vector<std::string> warnings = opened->warnings;
    if (SharedStore* const shared = opened->shared) {
        // Where that fails, the others miss an earlier run of this server all the same, a little
        // later.
        const auto announced = shared->serve_at(place_of(server.addresses()));
        // What a store that cannot be reached lacks is among the warnings.
        if (!announced && shared->reachable()) warnings.push_back(announced.error().message);
    }
    service->start();
    // Twice as often as is asked for: one message may be late.
    if (const auto patience = supervisor_patience())
        server.report_life(*patience / 2, [] { tell_supervisor_alive(); });
    server.start();
    log.notice(std::string("semad ") + version + " listening on " + joined(server.addresses()) + ", store " +
               describe(options.store));
    if (std::holds_alternative<SqliteStoreOption>(options.store) && !*anchor)
        log.info("the store is new: it has no pools yet");
    for (const std::string& missing : server.missing_addresses())
        log.info("not listening on " + missing);
    if (connections < options.max_connections) {
        log.warn("--max-connections " + std::to_string(options.max_connections) +
                 " is more than the file descriptors allow: taking " + std::to_string(connections));
    }
    if (admin_token->exposed)
        log.warn(options.admin_token_file + " holds the admin token and others can read it (chmod 600 it)");
    for (const std::string& warning : warnings)
        log.warn(warning);
    notify_supervisor("READY=1");

    signals_context.run();

    notify_supervisor("STOPPING=1");
    log.info("stopping");
    server.drain();
    service->drain();
    server.wait_until_drained(drain_patience);
    server.stop();
    service->stop();
    // What those answers leased to clients that have gone is given back.
    server.hand_out_rest();
    service->stop();
    log.info("stopped");
    return {};
}

Expected<void> check_unused(const OpenStore& opened, const StoreOption& option) {
    if (!opened.shared) return {};
    const auto used = opened.shared->is_in_use();
    if (!used) return tl::unexpected(used.error());
    if (*used)
        return failure("a server uses " + describe(option) +
                       ", or the two stores are one: stop all servers before the migration");
    return {};
}

std::string counted(std::size_t number, const char* things) {
    return std::to_string(number) + " " + things + (number == 1 ? "" : "s");
}

Expected<std::string> run_migration(const MigrateOptions& options) {
    const auto* file = std::get_if<SqliteStoreOption>(&options.from);
    if (file && !std::filesystem::exists(file->path))
        return failure("there is no " + file->path + " to migrate from");
    const auto from = open_store(options.from);
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
    // What is lost where the leases went is worth knowing before they are.
    for (const std::string& warning : to->warnings)
        std::fprintf(stderr, "semad: warning: %s\n", warning.c_str());
    return "copied " + counted(done->pools, "pool") + " and " + counted(done->leases, "live lease") +
           " from " + describe(options.from) + " to " + describe(options.to) + "\n";
}

int print(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : exit_refused;
}

int run(int argc, char** argv) {
    // A write that cannot be done is an error to answer, not a reason to die: to a client that is gone, or
    // beyond the size that a file may have (`ulimit -f`).
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    const auto parsed = parse_options(argc, argv);
    Expected<void> done;
    if (!parsed) {
        done = tl::unexpected(parsed.error());
    } else if (const auto* printed = std::get_if<Printed>(&*parsed)) {
        return print(printed->text);
    } else if (const auto* migration = std::get_if<MigrateOptions>(&*parsed)) {
        const auto report = run_migration(*migration);
        if (report) return print(*report);
        done = tl::unexpected(report.error());
    } else {
        done = serve(std::get<Options>(*parsed));
    }
    if (done) return 0;
    std::fprintf(stderr, "semad: %s\n", done.error().message.c_str());
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
