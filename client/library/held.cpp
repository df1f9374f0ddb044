#include "client/library/held.hpp"

#include "common/overloaded.hpp"

#include <utility>

namespace sema {
inline namespace v1 {
namespace detail {

namespace {

// Made before any child, where a heap that hears of no forks may be locked for ever.
const std::stop_source stopped = [] {
    std::stop_source source;
    source.request_stop();
    return source;
}();

}  // namespace

std::stop_token lost_in_child() {
    return stopped.get_token();
}

Held::Held(std::shared_ptr<Core> core, Facts facts, const LeaseTerm& term, Duration grace,
           std::optional<Duration> renewal)
    : core_(std::move(core)),
      facts_(std::move(facts)),
      upkeep_(term, {grace, renewal}),
      ttl_(renewal.value_or(term.ttl)),
      renews_(renewal.has_value()),
      ends_at_(upkeep_.ends_at()),
      over_at_(upkeep_.kill_at()) {}

// ---- any thread

bool Held::is_held() const noexcept {
    if (!core_->is_here()) return false;
    const std::lock_guard lock(mutex_);
    return !is_let_go_ && !loss();
}

Moment Held::ends_at() const {
    const std::lock_guard lock(mutex_);
    return ends_at_;
}

std::stop_token Held::lost() {
    if (!core_->is_here()) return lost_in_child();
    // Also where another thread has found it lost, and has not got as far as to say so.
    if (const auto why = reason()) lose(why);
    return lost_.get_token();
}

void Held::on_lost(std::function<void()> function) {
    // Called in here where it is lost already.
    auto added = std::make_unique<Callback>(lost(), std::move(function));
    const std::lock_guard lock(mutex_);
    if (!is_let_go_) callbacks_.push_back(std::move(added));
}

std::error_code Held::reason() const {
    const std::lock_guard lock(mutex_);
    return loss();
}

std::error_code Held::loss() const {
    if (reason_ || is_let_go_ || BootClock::now() < over_at_) return reason_;
    return renews_ ? errc::unavailable : errc::timed_out;
}

bool Held::let_go() {
    std::list<std::unique_ptr<Callback>> gone;
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_let_go_, true)) return false;
    gone.swap(callbacks_);
    return true;
}

void Held::give_back(Duration patience, Core::Returned done) {
    auto self = shared_from_this();
    auto reply = std::make_shared<Core::Returned>(std::move(done));
    const bool is_left = core_->post([self, patience, reply] {
        self->stop_keeping();
        if (self->is_gone_) return (*reply)({}, false);
        self->core_->give_back(self->facts_.pool, self->facts_.id, self->facts_.fence,
                               self->upkeep_.ends_at(), patience, std::move(*reply));
    });
    if (!is_left) (*reply)(closed(), false);
}

void Held::abandon() {
    core_->post([self = shared_from_this()] { self->stop_keeping(); });
}

// Nothing is called under the lock. What is lost after it was let go is nobody's business.
void Held::lose(std::error_code why) {
    {
        const std::lock_guard lock(mutex_);
        if (is_let_go_) return;
        if (!reason_) reason_ = why;
    }
    lost_.request_stop();
}

// ---- the client's thread

void Held::keep() {
    // Attached in the moment in which its client ends.
    if (core_->is_ending()) return lose(errc::client_closed);
    is_kept_ = true;
    core_->add(shared_from_this());
    proceed();
}

void Held::stop_keeping() {
    if (!std::exchange(is_kept_, false)) return;
    core_->engine().drop(std::exchange(keepalive_, 0));
    core_->engine().cancel(timer_);
    core_->remove(shared_from_this());
}

void Held::close() {
    stop_keeping();
    lose(errc::client_closed);
}

std::error_code Held::why_ending() const {
    if (is_not_renewable_) return errc::not_renewable;
    return renews_ ? errc::unavailable : errc::timed_out;
}

void Held::proceed() {
    if (!is_kept_) return;
    const auto self = shared_from_this();
    const Moment now = BootClock::now();
    if (reason() || upkeep_.due(now) != Upkeep::Step::none) {
        stop_keeping();
        lose(why_ending());
        return;
    }
    if (upkeep_.is_keepalive_due(now)) ask(now);
    if (!is_kept_) return;
    core_->engine().cancel(timer_);
    timer_ = core_->engine().at(upkeep_.next_deadline(now), [this] { proceed(); });
}

void Held::ask(Moment now) {
    const Duration limit = upkeep_.begin_keepalive(now);
    keepalive_ = core_->engine().start<KeepaliveAnswer>(
        keepalive_call(core_->servers(), facts_.pool, facts_.id, ttl_, limit, facts_.fence),
        Engine::Urgency::urgent, [self = shared_from_this()](const std::optional<KeepaliveAnswer>& answer) {
            self->keepalive_ = 0;
            if (!answer || !self->is_kept_) return;
            self->take_in(*answer, BootClock::now());
            self->proceed();
        });
}

void Held::take_in(const KeepaliveAnswer& answer, Moment now) {
    std::visit(Overloaded{[&](const wire::Renewed& renewed) {
                              if (renewed.lease) return upkeep_.renewed(renewed.lease->expires_in);
                              is_gone_ = true;
                              stop_keeping();
                              lose(errc::lease_lost);
                          },
                          [&](const NotRenewable&) {
                              is_not_renewable_ = true;
                              upkeep_.stop_renewing();
                          },
                          [&](const auto&) { upkeep_.failed(now); }},
               answer);
    publish();
}

void Held::publish() {
    const std::lock_guard lock(mutex_);
    ends_at_ = upkeep_.ends_at();
    over_at_ = upkeep_.kill_at();
}

}  // namespace detail
}  // namespace v1
}  // namespace sema
