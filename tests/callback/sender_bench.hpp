#pragma once

#include "server/callback/sender.hpp"
#include "server/service/service.hpp"
#include "server/store/memory/memory_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/faulty_store.hpp"
#include "tests/support/receiver.hpp"

#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace sema::test {

/// A service with its threads, and a sender that is in a hurry, on a store that outlives both.
class SenderBench {
  public:
    explicit SenderBench(callback::Patience times = hurry(), unsigned places = callback::most_calls)
        : patience_(times), places_(places) {
        start();
    }
    ~SenderBench() { kill(); }
    SenderBench(const SenderBench&) = delete;
    SenderBench& operator=(const SenderBench&) = delete;

    static callback::Patience hurry() {
        return {.attempt = std::chrono::seconds(10),
                .first_pause = std::chrono::milliseconds(5),
                .longest_pause = std::chrono::milliseconds(40)};
    }

    void start() {
        store_ = make_faulty_store(make_memory_store(data_), faults);
        clock_ = std::make_unique<SystemClock>(store_->anchor().value());
        service = std::make_unique<Service>(*store_, *clock_, ServiceLimits{});
        sender = std::make_unique<callback::Sender>(
            *service, *clock_,
            [this](const std::string& line) {
                const std::lock_guard lock(mutex_);
                log_.push_back(line);
            },
            patience_, places_);
        sender->set({callback::AllowList({callback::parse_pattern("127.0.0.1").value()}), ""});
        service->deliver_by(*sender);
        service->start();
        sender->start();
    }
    /// What is under way is broken off.
    void kill() {
        if (!service) return;
        sender->drain(Duration::zero());
        sender->stop();
        service->stop();
        service.reset();
        sender.reset();
    }

    /// The answer of a call, which `make` is given the Reply for.
    template <class Make>
    Answer call(const Make& make) {
        auto answered = std::make_shared<std::promise<Answer>>();
        auto answer = answered->get_future();
        make([answered](const Answer& given) { answered->set_value(given); });
        while (service->settle()) {
        }
        if (answer.wait_for(patience) != std::future_status::ready)
            throw std::runtime_error("no answer came");
        return answer.get();
    }
    PoolId made(unsigned count) {
        const PoolId pool = PoolId::random();
        call([&](const Reply& reply) { service->put(pool, wire::RegisterRequest{count}, reply); });
        return pool;
    }
    Answer ask(const PoolId& pool, const LeaseId& lease, const std::string& url,
               Duration ttl = std::chrono::seconds(600)) {
        const wire::BorrowRequest request{
            .ttl = ttl,
            .lease = lease,
            .extended = true,
            .callback = std::make_shared<const wire::Callback>(wire::Callback{url})};
        return call([&](const Reply& reply) { service->borrow(pool, no_ticket, request, reply); });
    }
    /// What rests on a commit that fails is answered by that: then it is looked at again.
    std::shared_ptr<const PoolView> view(const PoolId& pool) {
        std::shared_ptr<const PoolView> view;
        const bool is_there = eventually([&] {
            const Answer answer = call([&](const Reply& reply) { service->list_holders(pool, reply); });
            if (const auto* given = std::get_if<std::shared_ptr<const PoolView>>(&answer)) view = *given;
            return view != nullptr;
        });
        if (!is_there) throw std::runtime_error("the pool cannot be looked at");
        return view;
    }
    bool gives_back(const PoolId& pool, const LeaseId& lease) {
        const Answer answer = call([&](const Reply& reply) { service->give_back(pool, lease, reply); });
        const auto* returned = std::get_if<LeaseReturned>(&answer);
        return returned && returned->returned;
    }
    /// Waits until nobody is to be called any more.
    bool settles(const PoolId& pool) {
        return eventually([&] {
            const auto now = view(pool);
            return now->queue.empty() &&
                   std::none_of(now->leases.begin(), now->leases.end(),
                                [](const Lease& lease) { return lease.delivery != nullptr; });
        });
    }
    TimePoint now() const { return clock_->now(); }
    std::vector<std::string> log() const {
        const std::lock_guard lock(mutex_);
        return log_;
    }

    const std::shared_ptr<StoreFaults> faults = std::make_shared<StoreFaults>();
    std::unique_ptr<Service> service;
    std::unique_ptr<callback::Sender> sender;

  private:
    const callback::Patience patience_;
    const unsigned places_;
    const std::shared_ptr<MemoryData> data_ = make_memory_data();
    std::unique_ptr<Store> store_;
    std::unique_ptr<SystemClock> clock_;
    mutable std::mutex mutex_;
    std::vector<std::string> log_;
};

}  // namespace sema::test
