#pragma once

#include "tests/service/bench.hpp"
#include "tests/support/shared_memory.hpp"

namespace sema::test {

/// One of several servers of the same pools.
struct Server : Calls {
    Server(SharedMemory& memory, const PoolId& id, const ServiceLimits& limits = {}) : store(memory) {
        pool = id;
        service = std::make_unique<Service>(store, memory.clock(), limits,
                                            [this](const std::string& text) { trouble.push_back(text); });
    }
    ~Server() { service.reset(); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// A waiter, in the queue of the store.
    Call waiting(Duration wait = std::chrono::seconds(60)) {
        const Call call = borrow(std::chrono::seconds(60), wait);
        flush();
        REQUIRE_FALSE(call.answered());
        return call;
    }

    SharedMemoryStore store;
    std::vector<std::string> trouble;
};

/// Three servers of one pool.
struct World {
    explicit World(unsigned count = 1, const ServiceLimits& limits = {})
        : a(memory, id, limits), b(memory, id, limits), c(memory, id, limits) {
        a.made(count);
    }
    /// Everything that follows of itself, without any time passing.
    void settle() {
        for (int i = 0; i < 4; ++i) {
            a.flush();
            b.flush();
            c.flush();
        }
    }
    void pass(Duration time) {
        memory.clock().pass(time);
        for (int i = 0; i < 4; ++i) {
            for (Server* server : {&a, &b, &c}) {
                server->service->advance();
                server->flush();
            }
        }
    }

    SharedMemory memory;
    const PoolId id = PoolId::random();
    Server a;
    Server b;
    Server c;
};

inline const Lease& lease_of(const Calls::Call& call) {
    REQUIRE(call.answered());
    const auto* granted = std::get_if<LeaseGranted>(&**call.answer);
    REQUIRE(granted);
    return granted->lease;
}

inline std::shared_ptr<const PoolView> view_of(Server& server) {
    const auto call = server.holders();
    server.flush();
    return call.as<std::shared_ptr<const PoolView>>();
}

}  // namespace sema::test
