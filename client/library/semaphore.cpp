#include "client/library/acquiring.hpp"
#include "client/library/held.hpp"
#include "client/library/pending.hpp"
#include "client/library/waiting.hpp"
#include "common/overloaded.hpp"

#include <sema/semaphore.hpp>

#include <utility>

namespace sema {
inline namespace v1 {

namespace detail {

lease Access::lease_of(std::shared_ptr<Held> held) {
    return lease(std::move(held));
}

const std::shared_ptr<Core>& Access::core_of(const semaphore& semaphore) {
    return semaphore.core_;
}

std::shared_ptr<Pending> Access::pending_of(const operation& operation) {
    return operation.pending_;
}

}  // namespace detail

namespace {

using namespace std::chrono_literals;
using detail::Access;
using detail::Acquiring;
using detail::Core;
using detail::Failure;
using detail::failure_of;
using detail::Held;
using detail::Promised;

template <class Value>
struct Outcome {
    Failure why{};
    Value value{};
};

Failure invalid(const std::string& what) {
    return {std::make_error_code(std::errc::invalid_argument), what};
}

pool_state state_of(const wire::PoolState& state) {
    return {state.count, state.in_use, state.available};
}

holder holder_of(const wire::PoolDetails::HolderEntry& entry) {
    using time = std::chrono::system_clock::time_point;
    holder result;
    result.position = entry.position;
    result.positions = entry.positions;
    if (entry.holder) result.name = entry.holder->name.value_or("");
    if (entry.holder) result.url = entry.holder->url.value_or("");
    result.fence = entry.fence;
    result.granted_at = time(std::chrono::seconds(entry.granted_at_unix));
    result.expires_at = time(std::chrono::seconds(entry.expires_at_unix));
    return result;
}

// Makes a call on the client's thread. `done` is called there, or here where the client is closed.
template <class Result>
void start(const std::shared_ptr<Core>& core, std::function<std::unique_ptr<Call<Result>>(Core&)> make,
           std::function<void(Servers*, std::optional<Result>)> done) {
    auto reply = std::make_shared<decltype(done)>(std::move(done));
    const bool is_left = core->post([core, make, reply] {
        if (core->is_ending()) return (*reply)(nullptr, std::nullopt);
        core->engine().start<Result>(
            make(*core), Engine::Urgency::usual,
            [core, reply](std::optional<Result> result) { (*reply)(&core->servers(), std::move(result)); });
    });
    if (!is_left) (*reply)(nullptr, std::nullopt);
}

// Makes a call, and waits for it. `convert` makes a value of the answer that is hoped for.
template <class Value, class Wanted, class Result, class Convert>
Outcome<Value> call(const std::shared_ptr<Core>& core,
                    std::function<std::unique_ptr<Call<Result>>(Core&)> make, Convert convert) {
    if (core->is_own_thread()) return {detail::deadlock()};
    const auto outcome = std::make_shared<Promised<Outcome<Value>>>();
    start<Result>(core, std::move(make), [=](Servers* servers, std::optional<Result> result) {
        if (!result) return outcome->give({detail::closed()});
        std::visit(Overloaded{[&](const Wanted& answer) {
                                  outcome->give({{}, convert(answer)});
                              },
                              [&](const auto& why) { outcome->give({failure_of(*servers, why)}); }},
                   *result);
    });
    return outcome->wait();
}

// Either form of a call.
template <class Value>
Value said(Outcome<Value> outcome, std::error_code& code) {
    detail::say(outcome.why, code);
    return std::move(outcome.value);
}
template <class Value>
Value raised(Outcome<Value> outcome) {
    detail::raise(outcome.why);
    return std::move(outcome.value);
}

// `done` is called on the client's thread, or here where nothing can be asked.
void begin(const std::shared_ptr<Core>& core, const tl::expected<Acquiring::Wish, const char*>& wish,
           const operation& operation, Acquiring::Done done) {
    if (!wish) return done(invalid(wish.error()), nullptr);
    const auto pending = Access::pending_of(operation);
    const auto reply = std::make_shared<Acquiring::Done>(std::move(done));
    const auto acquiring = std::make_shared<Acquiring>(
        core, *wish, [reply, pending](const Failure& why, std::shared_ptr<Held> held) {
            pending->end();
            (*reply)(why, std::move(held));
        });
    const bool is_left = core->post([=] {
        const auto cancel = [acquiring] { acquiring->cancel(errc::cancelled); };
        if (!pending->begin(core, cancel)) return (*reply)({errc::cancelled, "acquire"}, nullptr);
        acquiring->begin();
    });
    if (!is_left) (*reply)(detail::closed(), nullptr);
}

Outcome<std::shared_ptr<Held>> acquire_now(const std::shared_ptr<Core>& core, const PoolId& pool,
                                           const acquire_options& options, Duration wait) {
    if (core->is_own_thread()) return {detail::deadlock()};
    const auto outcome = std::make_shared<Promised<Outcome<std::shared_ptr<Held>>>>();
    begin(core, Acquiring::wish_of(pool, options, wait), operation(),
          [outcome](const Failure& why, std::shared_ptr<Held> held) {
              outcome->give({why, std::move(held)});
          });
    return outcome->wait();
}

Duration wait_of(const acquire_options& options) {
    return options.wait < 0s ? -1us : detail::duration_of(options.wait);
}

Outcome<pool_state> state_now(const std::shared_ptr<Core>& core, const PoolId& pool) {
    return call<pool_state, wire::PoolState, PoolAnswer<wire::PoolState>>(
        core, [=](Core& at) { return inspect_call(at.servers(), pool, at.call_limit()); }, state_of);
}

// It may have been done where no answer came, and must not be done twice.
Outcome<pool_state> resize_once(const std::shared_ptr<Core>& core, const PoolId& pool, std::int64_t by) {
    using Result = PoolAnswer<wire::PoolState>;
    if (core->is_own_thread()) return {detail::deadlock()};
    const auto outcome = std::make_shared<Promised<Outcome<pool_state>>>();
    const auto trouble = [outcome](const Servers& servers, const auto& why) {
        Failure failure = failure_of(servers, why);
        if (why.may_be_done) failure.code = errc::timed_out;
        outcome->give({std::move(failure)});
    };
    start<Result>(
        core, [=](Core& at) { return resize_call(at.servers(), pool, by, at.call_limit()); },
        [=](Servers* servers, const std::optional<Result>& result) {
            if (!result) return outcome->give({detail::closed()});
            std::visit(Overloaded{[&](const wire::PoolState& state) {
                                      outcome->give({{}, state_of(state)});
                                  },
                                  [&](const Busy& why) { trouble(*servers, why); },
                                  [&](const Unreachable& why) { trouble(*servers, why); },
                                  [&](const auto& why) { outcome->give({failure_of(*servers, why)}); }},
                       *result);
        });
    return outcome->wait();
}

Outcome<std::vector<holder>> holders_now(const std::shared_ptr<Core>& core, const PoolId& pool) {
    return call<std::vector<holder>, wire::PoolDetails, PoolAnswer<wire::PoolDetails>>(
        core, [=](Core& at) { return holders_call(at.servers(), pool, at.call_limit()); },
        [](const wire::PoolDetails& details) {
            std::vector<holder> holders;
            for (const auto& entry : details.holders)
                holders.push_back(holder_of(entry));
            return holders;
        });
}

Outcome<pool_state> create_now(const std::shared_ptr<Core>& core, const PoolId& pool, unsigned count) {
    return call<pool_state, wire::PoolState, Answer<wire::PoolState>>(
        core,
        [=](Core& at) {
            return register_call(at.servers(), pool, wire::RegisterRequest{count}, at.call_limit());
        },
        state_of);
}

// The renewed lease, or one without an end where it is not held.
Outcome<std::optional<wire::LeaseGrant>> keepalive_now(const std::shared_ptr<Core>& core, const PoolId& pool,
                                                       std::string_view lease, std::chrono::nanoseconds ttl) {
    const auto id = LeaseId::parse(lease);
    if (!id) return {invalid("the lease's UUID")};
    if (ttl <= 0s) return {invalid("the ttl")};
    return call<std::optional<wire::LeaseGrant>, wire::Renewed, KeepaliveAnswer>(
        core,
        [=](Core& at) {
            return keepalive_call(at.servers(), pool, *id, detail::duration_of(ttl), at.call_limit());
        },
        [](const wire::Renewed& renewed) { return renewed.lease; });
}

Outcome<bool> give_back_now(const std::shared_ptr<Core>& core, const PoolId& pool, std::string_view lease) {
    const auto id = LeaseId::parse(lease);
    if (!id) return {invalid("the lease's UUID")};
    return call<bool, wire::Returned, Answer<wire::Returned>>(
        core, [=](Core& at) { return give_back_call(at.servers(), pool, *id, at.call_limit()); },
        [](const wire::Returned& answer) { return answer.returned; });
}

// A lease that is there already, kept from now on.
Outcome<std::shared_ptr<Held>> attach_now(const std::shared_ptr<Core>& core, const PoolId& pool,
                                          std::string_view lease, const acquire_options& options) {
    if (options.ttl < Acquiring::shortest_ttl) return {invalid("acquire_options::ttl")};
    if (options.grace < 0s) return {invalid("acquire_options::grace")};
    const Moment asked = BootClock::now();
    auto renewed = keepalive_now(core, pool, lease, options.ttl);
    if (renewed.why) return {renewed.why};
    if (!renewed.value) return {{errc::lease_lost, "attach"}};
    const Duration wanted = detail::duration_of(options.ttl);
    const Duration ttl = granted_ttl(renewed.value->expires_in, wanted);
    std::optional<Duration> renewal;
    if (options.renew) renewal = wanted;
    auto held =
        std::make_shared<Held>(core, Held::Facts{pool, renewed.value->lease, {renewed.value->position}},
                               LeaseTerm{asked + ttl, ttl}, detail::duration_of(options.grace), renewal);
    if (!core->post([held] { held->keep(); })) return {detail::closed()};
    return {{}, std::move(held)};
}

}  // namespace

semaphore::semaphore(client& client, std::string_view pool) : core_(Access::core_of(client)) {
    const auto id = PoolId::parse(pool);
    if (!id) detail::raise(invalid("the pool's UUID"));
    pool_ = std::make_shared<const detail::PoolName>(detail::PoolName{*id});
}

semaphore::~semaphore() = default;
semaphore::semaphore(const semaphore&) = default;
semaphore& semaphore::operator=(const semaphore&) = default;

lease semaphore::acquire(const acquire_options& options) {
    return Access::lease_of(raised(acquire_now(core_, pool_->id, options, wait_of(options))));
}

lease semaphore::acquire(const acquire_options& options, std::error_code& code) {
    return Access::lease_of(said(acquire_now(core_, pool_->id, options, wait_of(options)), code));
}

std::optional<lease> semaphore::try_acquire(const acquire_options& options) {
    return try_within(0s, options);
}

std::optional<lease> semaphore::try_acquire(const acquire_options& options, std::error_code& code) {
    return try_within(0s, options, code);
}

std::optional<lease> semaphore::try_within(std::chrono::nanoseconds time, const acquire_options& options) {
    auto outcome = acquire_now(core_, pool_->id, options, detail::duration_of(time));
    if (outcome.why.code == errc::no_slot) return std::nullopt;
    return Access::lease_of(raised(std::move(outcome)));
}

std::optional<lease> semaphore::try_within(std::chrono::nanoseconds time, const acquire_options& options,
                                           std::error_code& code) {
    auto held = said(acquire_now(core_, pool_->id, options, detail::duration_of(time)), code);
    if (code == errc::no_slot) code.clear();
    return held ? std::optional(Access::lease_of(std::move(held))) : std::nullopt;
}

pool_state semaphore::state() {
    return raised(state_now(core_, pool_->id));
}

pool_state semaphore::state(std::error_code& code) {
    return said(state_now(core_, pool_->id), code);
}

pool_state semaphore::resize(std::int64_t by) {
    return raised(resize_once(core_, pool_->id, by));
}

pool_state semaphore::resize(std::int64_t by, std::error_code& code) {
    return said(resize_once(core_, pool_->id, by), code);
}

std::vector<holder> semaphore::holders() {
    return raised(holders_now(core_, pool_->id));
}

std::vector<holder> semaphore::holders(std::error_code& code) {
    return said(holders_now(core_, pool_->id), code);
}

pool_state semaphore::create(unsigned count) {
    return raised(create_now(core_, pool_->id, count));
}

pool_state semaphore::create(unsigned count, std::error_code& code) {
    return said(create_now(core_, pool_->id, count), code);
}

lease semaphore::attach(std::string_view lease_id, const acquire_options& options) {
    return Access::lease_of(raised(attach_now(core_, pool_->id, lease_id, options)));
}

lease semaphore::attach(std::string_view lease_id, const acquire_options& options, std::error_code& code) {
    return Access::lease_of(said(attach_now(core_, pool_->id, lease_id, options), code));
}

bool semaphore::keepalive(std::string_view lease_id, std::chrono::nanoseconds ttl) {
    return raised(keepalive_now(core_, pool_->id, lease_id, ttl)).has_value();
}

bool semaphore::keepalive(std::string_view lease_id, std::chrono::nanoseconds ttl, std::error_code& code) {
    return said(keepalive_now(core_, pool_->id, lease_id, ttl), code).has_value();
}

bool semaphore::give_back(std::string_view lease_id) {
    return raised(give_back_now(core_, pool_->id, lease_id));
}

bool semaphore::give_back(std::string_view lease_id, std::error_code& code) {
    return said(give_back_now(core_, pool_->id, lease_id), code);
}

void semaphore::start_acquire(const acquire_options& options, acquired done, const operation& operation) {
    begin(core_, Acquiring::wish_of(pool_->id, options, wait_of(options)), operation,
          [done = std::move(done)](const Failure& why, std::shared_ptr<Held> held) {
              done(why.code, Access::lease_of(std::move(held)));
          });
}

void semaphore::start_state(stated done, const operation& operation) {
    using Result = PoolAnswer<wire::PoolState>;
    const auto pending = Access::pending_of(operation);
    // A call that is cancelled ends at once, without the answer.
    const auto handler = std::make_shared<stated>(std::move(done));
    const auto reply = [pending, handler](std::error_code code, pool_state state) {
        pending->end();
        if (const stated once = std::exchange(*handler, nullptr)) once(code, state);
    };
    if (!pending->begin(core_, [reply] { reply(errc::cancelled, {}); })) return reply(errc::cancelled, {});
    start<Result>(
        core_, [pool = pool_->id](Core& at) { return inspect_call(at.servers(), pool, at.call_limit()); },
        [reply](Servers* servers, const std::optional<Result>& result) {
            if (!result) return reply(errc::client_closed, {});
            std::visit(Overloaded{[&](const wire::PoolState& state) { reply({}, state_of(state)); },
                                  [&](const auto& why) { reply(failure_of(*servers, why).code, {}); }},
                       *result);
        });
}

}  // namespace v1
}  // namespace sema
