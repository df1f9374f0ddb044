#include "server/service/service.hpp"

#include "server/service/own_driver.hpp"
#include "server/service/parts.hpp"
#include "server/service/shared_driver.hpp"

#include <utility>

namespace sema {
namespace {

// Names this server in what it stores, since others share the store.
ServiceLimits named(ServiceLimits limits, const SharedStore& store) {
    limits.pool.server = store.self();
    limits.pool.clock_error = store.clock_error();
    return limits;
}

}  // namespace

Service::Service(Store& store, Clock& clock, const ServiceLimits& limits,
                 std::function<void(const std::string&)> on_store_trouble)
    : Service(std::make_unique<Parts>(store, clock, limits, std::move(on_store_trouble), [&](Parts& parts) {
          return std::make_unique<OwnDriver>(store, clock, parts.table, parts.trouble);
      })) {}

Service::Service(SharedStore& store, Clock& clock, const ServiceLimits& limits,
                 std::function<void(const std::string&)> on_store_trouble)
    : Service(std::make_unique<Parts>(
          store, clock, named(limits, store), std::move(on_store_trouble), [&](Parts& parts) {
              return std::make_unique<SharedDriver>(store, parts.table, parts.wakeups, parts.trouble);
          })) {}

Service::Service(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)), table_(parts_->table), driver_(*parts_->driver) {}

Service::~Service() {
    stop();
}

void Service::set_limits(ServiceLimits limits) {
    // These two are the store's.
    limits.pool.server = table_.limits().pool.server;
    limits.pool.clock_error = table_.limits().pool.clock_error;
    table_.set_limits(limits);
}

void Service::keep_metrics() {
    parts_->metrics = std::make_unique<ServiceMetrics>();
    table_.keep_metrics(parts_->metrics->series);
    driver_.keep_metrics(parts_->metrics->store);
}

void Service::keep_history(History& history) {
    table_.keep_history(history);
}

void Service::write_metrics(MetricsText& text) const {
    const bool is_up = !driver_.is_store_away() && parts_->trouble.latest().empty();
    write(text, *parts_->metrics, table_.figures(), is_up);
}

std::string Service::store_trouble() const {
    return parts_->trouble.latest();
}

void Service::deliver_by(Caller& caller) {
    table_.deliver_by(caller);
}

void Service::find_callbacks() {
    driver_.find_callbacks();
    parts_->wakeups.add_work();
}

void Service::start() {
    parts_->committer = std::thread([this] { run_committer(); });
    parts_->timer = std::thread([this] { run_timer(); });
}

void Service::drain() {
    table_.drain();
}

void Service::stop() {
    driver_.stop();
    parts_->wakeups.stop();
    if (parts_->timer.joinable()) parts_->timer.join();
    if (parts_->committer.joinable()) parts_->committer.join();
    while (flush()) {
    }
}

Readiness Service::readiness() {
    if (table_.is_draining()) return Readiness::shutting_down;
    if (!driver_.is_store_away()) return Readiness::ready;
    // The next turn at the store finds out why.
    parts_->wakeups.add_work();
    return Readiness::store_away;
}

Service::Use Service::use() const {
    return {table_.pools(), table_.leases(), table_.waiters()};
}

std::optional<TimePoint> Service::advance() {
    return table_.advance();
}

bool Service::settle() {
    if (driver_.is_quick()) return flush();
    if (parts_->wakeups.has_work()) parts_->wakeups.wake_committer();
    return false;
}

bool Service::flush() {
    Wakeups& wakeups = parts_->wakeups;
    // A thread that is turned away here left its work where the one that is at it looks once more.
    if (!wakeups.has_work() || parts_->is_flushing.exchange(true)) return false;
    wakeups.take_work();
    driver_.commit();
    parts_->lists.go_on();
    parts_->copies.go_on();
    parts_->is_flushing = false;
    return wakeups.has_work();
}

void Service::run_committer() {
    while (!parts_->wakeups.is_stopping()) {
        parts_->wakeups.wait_for_committer_call();
        while (flush()) {
        }
    }
}

void Service::run_timer() {
    while (!parts_->wakeups.is_stopping()) {
        if (!parts_->wakeups.wait_until_due(parts_->clock)) continue;
        if (const auto next = advance()) parts_->wakeups.schedule(*next);
        while (settle()) {
        }
    }
}

}  // namespace sema
