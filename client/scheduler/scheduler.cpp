#include "client/client.hpp"
#include "client/library/core.hpp"
#include "client/scheduler/doorbell.hpp"
#include "client/scheduler/lease_source.hpp"
#include "client/scheduler/scheduler_core.hpp"

#include <sema/errc.hpp>
#include <sema/scheduler.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace sema {
inline namespace v1 {

namespace {

using namespace std::chrono_literals;

[[noreturn]] void refuse(const std::string& what) {
    throw error(std::make_error_code(std::errc::invalid_argument), "sema::scheduler: " + what);
}

Duration microseconds(std::chrono::nanoseconds time) {
    return std::min<Duration>(std::chrono::ceil<Duration>(time), longest_duration);
}

bool is_name(const std::string& text) {
    return text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
           });
}

PoolId checked_pool(std::string_view text) {
    const auto id = PoolId::parse(text);
    if (!id) refuse("the pool is not a UUID");
    return *id;
}

SchedulerCore::Options checked(const scheduler_options& options,
                               const std::vector<std::shared_ptr<backend>>& backends) {
    if (options.slots == 0) refuse("slots must be more than 0");
    if (options.timeout <= 0s) refuse("timeout must be more than 0");
    if (options.limit <= 0s || options.patience < 0s || options.poll_patience <= 0s)
        refuse("a time must be more than 0");
    if (!is_name(options.name)) refuse("a name is 1 to 64 letters, digits and hyphens");
    for (const auto& one : backends) {
        if (!one) refuse("a backend is null");
        const std::string name = one->name();
        const bool is_right =
            !name.empty() && name.size() <= 64 &&
            std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
        if (!is_right) refuse("a backend's name is 1 to 64 characters of ASCII");
        const auto has_it = [&](const auto& other) { return other && other->name() == name; };
        if (std::count_if(backends.begin(), backends.end(), has_it) > 1)
            refuse("two backends are called " + name);
    }
    return {.slots = options.slots,
            .timeout = microseconds(options.timeout),
            .limit = microseconds(options.limit),
            .poll_patience = microseconds(options.poll_patience),
            .patience = microseconds(options.patience),
            .on_trouble = options.on_trouble};
}

template <class T>
T checked(LeaseOutcome<T> outcome, const char* what) {
    if (outcome) {
        if constexpr (std::is_void_v<T>)
            return;
        else
            return *std::move(outcome);
    }
    const LeaseTrouble& trouble = outcome.error();
    const errc code = trouble.kind == LeaseTrouble::Kind::no_such_pool  ? errc::no_such_pool
                      : trouble.kind == LeaseTrouble::Kind::unavailable ? errc::unavailable
                                                                        : errc::rejected;
    throw sema::error(code, std::string("sema::scheduler::") + what + ": " + trouble.reason);
}

}  // namespace

class scheduler::impl {
  public:
    impl(const client& client, const PoolId& pool, const std::vector<std::shared_ptr<backend>>& backends,
         const scheduler_options& options)
        : owner_(detail::Access::core_of(client)),
          client_(owner_->addresses()),
          core_(make_lease_source(client_, pool, owner_->call_limit()), pool,
                options.name.empty() ? LeaseId::random().str() : options.name, backends,
                checked(options, backends)),
          doorbell_(client_, pool, core_.bell()) {}

    // It makes calls of its own, on its own threads, but for as long as the client's could be made.
    SchedulerCore& core_for(const char* what) {
        if (!owner_->is_open()) throw error(errc::client_closed, std::string("sema::scheduler::") + what);
        return core_;
    }
    /// Whether this is the process that it was made in, which alone has its threads.
    bool is_here() const { return owner_->is_here(); }

  private:
    const std::shared_ptr<detail::Core> owner_;
    const Client client_;
    SchedulerCore core_;
    const Doorbell doorbell_;
};

scheduler::scheduler(client& client, std::string_view pool, std::vector<std::shared_ptr<backend>> backends,
                     scheduler_options options)
    : impl_(std::make_unique<impl>(client, checked_pool(pool), backends, options)) {}

scheduler::~scheduler() {
    // A child process keeps all as it is: the threads to wait for, and what would be closed, are the
    // parent's.
    if (!impl_->is_here()) static_cast<void>(impl_.release());
}

void scheduler::schedule() {
    checked(impl_->core_for("schedule").schedule(), "schedule");
}

void scheduler::wait(std::chrono::nanoseconds limit) {
    const SchedulerCore& core = impl_->core_for("wait");
    const Moment now = BootClock::now();
    const Duration time = std::min<Duration>(microseconds(std::max(limit, 0ns)), longest_duration);
    const Moment next = core.next_deadline();
    core.bell().wait(next == BootClock::never ? time : std::min<Duration>(time, next - now));
}

bool scheduler::stop(const std::string& id) {
    return checked(impl_->core_for("stop").stop(id), "stop");
}

bool scheduler::keepalive(const std::string& id) {
    return checked(impl_->core_for("keepalive").keepalive(id), "keepalive");
}

std::vector<task_state> scheduler::inspect() {
    return checked(impl_->core_for("inspect").inspect(), "inspect");
}

}  // namespace v1
}  // namespace sema
