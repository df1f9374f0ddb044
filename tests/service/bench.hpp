#pragma once

#include "server/service/service.hpp"
#include "server/store/memory/memory_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/faulty_store.hpp"
#include "tests/support/manual_clock.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sema::test {

/// Calls on one pool of a service.
struct Calls {
    /// The answer of a call, once there is one.
    struct Call {
        std::shared_ptr<std::optional<Answer>> answer = std::make_shared<std::optional<Answer>>();
        Ticket ticket{};

        Reply reply() const {
            return [into = answer](const Answer& given) {
                REQUIRE_FALSE(*into);
                *into = given;
            };
        }
        bool answered() const { return answer->has_value(); }
        template <class T>
        T as() const {
            REQUIRE(answered());
            const T* value = std::get_if<T>(&**answer);
            REQUIRE(value);
            return *value;
        }
        bool is(Refusal refusal) const {
            const auto* given = answered() ? std::get_if<Refusal>(&**answer) : nullptr;
            return given && *given == refusal;
        }
    };

    Call put(unsigned count) { return put(wire::RegisterRequest{count}); }
    Call put(const wire::RegisterRequest& request) {
        Call call;
        service->put(pool, request, call.reply());
        return call;
    }
    Call inspect() {
        Call call;
        service->inspect(pool, call.reply());
        return call;
    }
    Call remove() {
        Call call;
        service->remove(pool, call.reply());
        return call;
    }
    Call borrow(Duration ttl = std::chrono::seconds(60), Duration wait = {}) {
        Call call;
        call.ticket = service->next_ticket();
        service->borrow(pool, call.ticket, {ttl, wait}, call.reply());
        return call;
    }
    /// With an id that the borrower chose.
    Call borrow(const LeaseId& lease, Duration wait = {}, Duration ttl = std::chrono::seconds(60)) {
        Call call;
        call.ticket = service->next_ticket();
        service->borrow(pool, call.ticket, {ttl, wait, lease, 1, 0, nullptr, true}, call.reply());
        return call;
    }
    /// Likewise, of several slots.
    Call borrow_several(const LeaseId& lease, unsigned slots, Duration wait) {
        Call call;
        call.ticket = service->next_ticket();
        service->borrow(pool, call.ticket, {std::chrono::seconds(60), wait, lease, slots, 0, nullptr, true},
                        call.reply());
        return call;
    }
    Call keep_alive(const LeaseId& lease, Duration ttl) {
        Call call;
        service->keep_alive(pool, lease, ttl, call.reply());
        return call;
    }
    Call resize(std::int64_t by) {
        Call call;
        service->resize(pool, by, call.reply());
        return call;
    }
    Call revoke(Position position, std::optional<std::uint64_t> fence = {}) {
        Call call;
        service->revoke(pool, {position, fence}, call.reply());
        return call;
    }
    Call set_slot(Position position, const wire::SlotRequest& request) {
        Call call;
        service->set_slot(pool, position, request, call.reply());
        return call;
    }
    Call cancel(const LeaseId& lease) {
        Call call;
        service->cancel(pool, lease, call.reply());
        return call;
    }
    Call holders() {
        Call call;
        service->list_holders(pool, call.reply());
        return call;
    }
    Call list_pools() {
        Call call;
        service->list_pools(call.reply());
        return call;
    }
    Call give_back(const LeaseId& lease) {
        Call call;
        service->give_back(pool, lease, call.reply());
        return call;
    }

    /// An answer that told of that grant is lost.
    void lose_answer_of(const Lease& lease) { service->undelivered(pool, lease); }

    void flush() {
        int rounds = 0;
        // Nothing may make it try again and again.
        while (service->flush())
            REQUIRE(++rounds < 100);
    }
    /// A pool, stored.
    void made(unsigned count) {
        put(count);
        flush();
    }
    Lease granted(Duration ttl = std::chrono::seconds(60)) {
        const Call call = borrow(ttl);
        flush();
        return call.as<LeaseGranted>().lease;
    }
    unsigned in_use() {
        const Call call = inspect();
        flush();
        return call.as<PoolCounts>().in_use;
    }

    PoolId pool = PoolId::random();
    std::unique_ptr<Service> service;
};

/// A service without threads: nothing is committed, loaded or timed out before the test says so.
struct Bench : Calls {
    explicit Bench(ServiceLimits with = {}) : limits(with) { restart(); }
    ~Bench() { service.reset(); }
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;

    /// A new service on the same store.
    void restart() {
        service.reset();
        service = std::make_unique<Service>(*store, clock, limits,
                                            [this](const std::string& text) { trouble.push_back(text); });
    }

    /// Lets time pass, and does what is due.
    void pass(Duration time) {
        clock.pass(time);
        service->advance();
        flush();
    }

    const ServiceLimits limits;
    std::shared_ptr<MemoryData> data = make_memory_data();
    std::shared_ptr<StoreFaults> faults = std::make_shared<StoreFaults>();
    std::unique_ptr<Store> store = make_faulty_store(make_memory_store(data), faults);
    ManualClock clock;
    std::vector<std::string> trouble;
};

}  // namespace sema::test
