#include "cli/dispatch/dispatcher.hpp"

#include "cli/dispatch/command_backend.hpp"
#include "cli/dispatch/own_pool.hpp"
#include "cli/dispatch/shown_ids.hpp"
#include "cli/dispatch/stop_signals.hpp"
#include "cli/exit_status.hpp"
#include "cli/run/environment.hpp"
#include "client/backoff.hpp"
#include "client/scheduler/doorbell.hpp"
#include "client/scheduler/scheduler_core.hpp"
#include "common/overloaded.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A pass waits that long at most for what it calls: a command that is slow, or hangs, does not keep others
// from their turn. One whose answer comes later counts in another pass.
constexpr Duration longest_patience = 1s;
// A server that does not answer keeps a dispatcher that stops for a few calls.
constexpr Duration call_limit = 5s;
// A backend that is slow to answer keeps the next one waiting for a quarter of the interval, and this at
// most.
constexpr Duration longest_poll_patience = 5s;
// How long one pass for cron goes on at most for the commands that it starts to take their tasks out of the
// sources. The interval bounds it as well: no task is started twice in it.
constexpr Duration longest_once = 30s;

std::string text_of(const ServerAddress& server) {
    return server.unix_socket.empty() ? server.base_url : "unix:" + server.unix_socket;
}

// What a semactl that is started in another folder needs to find the same servers.
std::vector<std::pair<std::string, std::string>> server_variables(const Session& session) {
    std::string servers;
    for (const ServerAddress& server : session.client.servers())
        servers += (servers.empty() ? "" : ",") + text_of(server);
    std::vector<std::pair<std::string, std::string>> variables{{"SEMACTL_SERVER", servers}};
    const TlsFiles& tls = session.client.server().tls;
    const auto add_file = [&](const char* name, const std::string& path) {
        std::error_code error;
        if (!path.empty()) variables.emplace_back(name, std::filesystem::absolute(path, error).string());
    };
    add_file("SEMACTL_CACERT", tls.authorities);
    add_file("SEMACTL_CERT", tls.certificate);
    add_file("SEMACTL_KEY", tls.key);
    std::error_code error;
    if (std::filesystem::exists(session.config.path, error)) add_file("SEMACTL_CONFIG", session.config.path);
    return variables;
}

std::vector<std::string> surrounding_environment(const Session& session) {
    std::vector<std::string> environment = environment_with(server_variables(session), {}, environ);
    // Of a dispatcher that this one is a task of.
    constexpr std::array<std::string_view, 2> foreign = {"SEMA_TASK=", "SEMA_BACKEND="};
    environment.erase(std::remove_if(environment.begin(), environment.end(),
                                     [&](const std::string& entry) {
                                         return std::any_of(foreign.begin(), foreign.end(), [&](auto name) {
                                             return entry.rfind(name, 0) == 0;
                                         });
                                     }),
                      environment.end());
    return environment;
}

// Makes the pool of a file that names none, and brings it to as many slots as the file says.
PoolAnswer<wire::PoolState> keep_own_pool(const DispatchPool& file, const PoolId& pool, Client& client) {
    auto state = client.inspect(pool);
    const auto* there = std::get_if<wire::PoolState>(&state);
    if (there != nullptr && there->count == *file.slots) return state;
    if (there == nullptr && !std::holds_alternative<NoSuchPool>(state)) return state;
    wire::RegisterRequest request{.count = *file.slots};
    if (there == nullptr) request.settings.name = file.file.stem().string();
    return std::visit(
        [](auto&& answer) -> PoolAnswer<wire::PoolState> { return std::forward<decltype(answer)>(answer); },
        client.register_pool(pool, request));
}

// Prints why the pool could not be kept, where that is so, and returns the exit status for it.
int status_of(const PoolAnswer<wire::PoolState>& kept, const PoolRef& pool, Session& session) {
    return std::visit(Overloaded{[](const wire::PoolState&) { return exit_status::done; },
                                 [&](const auto& why) { return explain(session, pool, why); }},
                      kept);
}

class Dispatcher {
  public:
    Dispatcher(const DispatchOptions& options, DispatchFile file, PoolRef pool, std::filesystem::path state,
               std::shared_ptr<ShownIds> shown, Session& session, StopSignals& signals)
        : options_(options),
          session_(session),
          signals_(signals),
          file_(std::move(file)),
          pool_(std::move(pool)),
          name_(std::move(state), file_.pool.file, pool_.id),
          shown_(std::move(shown)),
          running_([this](std::uint64_t fence) { core_->note_end(fence); }),
          core_(std::make_unique<SchedulerCore>(make_lease_source(session.client, pool_.id, call_limit),
                                                pool_.id, name_.own(), backends(), core_options())),
          doorbell_(session.client, pool_.id, core_->bell()) {
        signals_.set_reaction([this] { react(); }, options.patience);
    }

    ~Dispatcher() {
        signals_.set_reaction(nullptr);
        running_.silence();
        polls_over_->ring();
        std::vector<std::pair<std::string, std::string>> left;
        for (const SeenTask& task : core_->left())
            left.emplace_back(task.mark.by, line_of(task));
        name_.leave(left);
    }
    Dispatcher(const Dispatcher&) = delete;
    Dispatcher& operator=(const Dispatcher&) = delete;

    int run() {
        const Moment once_until = BootClock::now() + std::min<Duration>(file_.interval, longest_once);
        for (bool is_first = true;; is_first = false) {
            if (signals_.take_reload()) reload();
            look_for_names();
            begin_to_stop();
            const auto done = core_->schedule();
            if (!done && done.error().kind == LeaseTrouble::Kind::unsuitable) {
                stop_for(done.error().reason);
            } else if (!done) {
                if (const auto status = give_up(done.error(), is_first)) return *status;
            } else {
                is_served_ = true;
                backoff_.reset();
                if (std::exchange(trouble_, "") != "") note("the server is available again");
            }
            if (options_.once && done && (!core_->expects_more() || BootClock::now() >= once_until))
                is_stopping_ = true;
            if (is_over()) return status_;
            Duration limit = pause(done.has_value());
            if (options_.once)
                limit = std::min<Duration>(limit, std::max<Duration>(once_until - BootClock::now(), 0s));
            core_->bell().wait(limit);
        }
    }

  private:
    // A pass may take seconds, as where the server does not answer.
    void react() {
        if (signals_.stops() > 0) core_->close();
        if (is_to_end()) core_->end_handed_on();
        core_->bell().ring();
    }

    bool is_to_end() const { return signals_.stops() > 1 || signals_.is_patience_over(); }

    SchedulerCore::Backends backends() {
        CommandSurroundings surroundings{.folder = file_.pool.file.parent_path().string(),
                                         .environment = surrounding_environment(session_),
                                         .program = program_.get(),
                                         .pool = pool_.id.str(),
                                         .limit = file_.limit,
                                         .ttl = file_.ttl,
                                         .hold = hold_ttl(file_.timeout, file_.limit),
                                         .on_trouble = [this](const std::string& why) { note(why); },
                                         .on_task = [this](const std::string& id) { shown_->add(id); },
                                         .over = polls_over_,
                                         .hurry = [this] { return signals_.hurry(); }};
        SchedulerCore::Backends all;
        for (const BackendSettings& settings : file_.backends)
            all.push_back(std::make_shared<CommandBackend>(settings, surroundings, running_, starts_));
        return all;
    }

    SchedulerCore::Options core_options() {
        const Duration patience = std::min<Duration>(file_.interval / 4, longest_patience);
        return {.slots = file_.slots.value_or(std::numeric_limits<unsigned>::max()),
                .timeout = file_.timeout,
                .limit = file_.limit,
                .poll_patience = options_.once
                                     ? file_.limit + 2s
                                     : std::min<Duration>(file_.interval / 4, longest_poll_patience),
                .patience = options_.once ? 4 * file_.limit : patience,
                .interval = file_.interval,
                .on_trouble = [this](const std::string& message) { note(message); },
                .on_detail =
                    [this](const std::string& message) {
                        const std::lock_guard lock(console_);
                        session_.console.detail(pool_.name + ": " + message);
                    },
                .on_settled = [this](std::uint64_t fence) { starts_.settle(fence); }};
    }

    void reload() {
        const auto refuse = [&](const std::string& why) {
            const std::lock_guard lock(console_);
            session_.console.error(why + " (going on with what the file said before)");
        };
        auto file = load_dispatch_file(options_.file);
        if (!file) return refuse(file.error().message);
        const auto pool = resolve_pool(file->pool, session_.config);
        if (!pool) return refuse(pool.error().message);
        if (!(pool->id == pool_.id))
            return refuse(options_.file.string() +
                          ": the pool is another one now, which takes a new dispatcher");
        if (file->pool.pool.empty() && !keeps_own_pool(file->pool))
            return refuse(options_.file.string() + ": the pool keeps the slots that it has");
        file_ = std::move(*file);
        core_->replace(backends(), core_options());
        note("read " + options_.file.string() + " again");
    }

    bool keeps_own_pool(const DispatchPool& file) {
        const auto kept = keep_own_pool(file, pool_.id, session_.client);
        const std::lock_guard lock(console_);
        return status_of(kept, pool_, session_) == exit_status::done;
    }

    // Goes on with the tasks of dispatchers of this file that have ended.
    void look_for_names() {
        for (const auto& [name, lines] : name_.take_left()) {
            std::optional<TaskTable::Left> left;
            if (lines) {
                left.emplace();
                for (const std::string& line : *lines) {
                    auto task = left_task(line);
                    if (!task) continue;
                    shown_->add(task->mark.id);
                    left->push_back(*std::move(task));
                }
            }
            core_->adopt_name(name, left);
        }
        for (const std::string& name : name_.taken()) {
            if (core_->forget_name(name)) name_.drop(name);
        }
    }

    void begin_to_stop() {
        if (signals_.stops() > 0) is_stopping_ = true;
        if (!is_stopping_) return;
        core_->close();
        if (!stop_at_) {
            stop_at_ = options_.patience ? BootClock::now() + *options_.patience : BootClock::never;
            const std::size_t left = core_->unsettled();
            if (left > 0 && !options_.once)
                note("starting no more tasks, and waiting for " + std::to_string(left) +
                     (left == 1 ? " command" : " commands"));
        }
        if (is_to_end() || BootClock::now() >= *stop_at_) core_->end_handed_on();
    }

    bool is_over() {
        if (!is_stopping_) return false;
        core_->close();
        return core_->unsettled() == 0;
    }

    // Trouble that will not pass, and need not end the commands that run.
    void stop_for(const std::string& reason) {
        const std::lock_guard lock(console_);
        if (std::exchange(status_, exit_status::failed) != exit_status::failed)
            session_.console.error(pool_.name + ": " + reason);
        is_stopping_ = true;
    }

    // The exit status, where the trouble will not pass.
    std::optional<int> give_up(const LeaseTrouble& trouble, bool is_first) {
        const bool is_gone = trouble.kind == LeaseTrouble::Kind::no_such_pool;
        // A server that was never there is more likely misnamed than away.
        const bool is_hopeless = is_gone || (!is_served_ && (is_first || options_.once));
        if (!is_hopeless) {
            if (std::exchange(trouble_, trouble.reason) != trouble.reason)
                note(trouble.reason + " (trying again)");
            return std::nullopt;
        }
        const std::lock_guard lock(console_);
        if (is_gone) {
            session_.console.error(pool_.name + ": " + trouble.reason + " (" + advice_if_absent(pool_) + ")");
            return exit_status::no_such_pool;
        }
        session_.console.error(pool_.name + ": " + trouble.reason);
        return trouble.kind == LeaseTrouble::Kind::unavailable ? exit_status::unreachable
                                                               : exit_status::failed;
    }

    Duration pause(bool is_served) {
        const Moment now = BootClock::now();
        Duration limit = is_served ? file_.interval : std::min(file_.interval, backoff_.next());
        const Moment next = core_->next_deadline();
        if (is_served && next != BootClock::never) limit = std::min<Duration>(limit, next - now);
        if (stop_at_ && *stop_at_ != BootClock::never)
            limit = std::min<Duration>(limit, std::max<Duration>(*stop_at_ - now, 100ms));
        return limit;
    }

    void note(const std::string& message) {
        const std::lock_guard lock(console_);
        session_.console.note(pool_.name + ": " + message);
    }

    const DispatchOptions& options_;
    Session& session_;
    std::mutex console_;
    StopSignals& signals_;
    DispatchFile file_;
    const PoolRef pool_;
    DispatcherName name_;
    /// Outlives this process in the shells that see to starts.
    const Descriptor program_{open(own_program, O_PATH | O_CLOEXEC)};
    const std::shared_ptr<ShownIds> shown_;
    const std::shared_ptr<const Wake> polls_over_ = std::make_shared<const Wake>();
    RunningCommands running_;
    StartWatches starts_;
    std::unique_ptr<SchedulerCore> core_;
    const Doorbell doorbell_;
    Backoff backoff_;
    bool is_served_ = false;
    std::string trouble_;
    bool is_stopping_ = false;
    int status_ = exit_status::done;
    std::optional<Moment> stop_at_;
};

}  // namespace

Expected<PoolRef> resolve_pool(const DispatchPool& pool, const Config& config) {
    if (!pool.pool.empty())
        return resolve_pool(pool.pool, config).map_error([&](const Error& error) {
            return Error{pool.file.filename().string() + ": " + error.message};
        });
    return own_pool(state_folder(), pool.file).map([&](const PoolId& id) {
        return PoolRef{.id = id, .name = pool.file.stem().string(), .argument = "POOL"};
    });
}

int status_of_unresolved(const DispatchPool& pool) {
    return pool.pool.empty() ? exit_status::failed : exit_status::usage;
}

int run_dispatcher(const DispatchOptions& options, Session& session) {
    const auto refuse = [&](const std::string& why, int status) {
        session.console.error(why);
        return status;
    };
    session.console.show(names_state);
    auto file = load_dispatch_file(options.file);
    if (!file) return refuse(file.error().message, exit_status::usage);
    auto pool = resolve_pool(file->pool, session.config);
    if (!pool) return refuse(pool.error().message, status_of_unresolved(file->pool));
    if (file->pool.is_exposed)
        session.console.note(options.file.string() +
                             " holds a pool's UUID and others can read it (chmod 600 it)");
    if (file->pool.pool.empty()) {
        const auto kept = keep_own_pool(file->pool, pool->id, session.client);
        if (const int status = status_of(kept, *pool, session); status != exit_status::done) return status;
    }
    const auto shown = std::make_shared<ShownIds>(pool->id);
    session.console.show([shown](std::string_view word) { return names_state(word) || shown->shows(word); });
    StopSignals signals;
    std::optional<Dispatcher> dispatcher;
    try {
        dispatcher.emplace(options, *std::move(file), *std::move(pool), state_folder(), shown, session,
                           signals);
    } catch (const std::runtime_error& error) {
        return refuse(error.what(), exit_status::failed);
    }
    return dispatcher->run();
}

}  // namespace sema
