#pragma once

#include "client/scheduler/wake.hpp"
#include "common/ids.hpp"

#include <atomic>
#include <memory>
#include <thread>

namespace sema {

class Client;

/// Rings when a pool changes, by the server's stream of events, and when that stream is back after the server
/// was away. What has changed is for others to ask. Has a thread of its own, which blocks all signals.
class Doorbell {
  public:
    /// `bell` must outlive it.
    Doorbell(const Client& client, const PoolId& pool, const Wake& bell);
    ~Doorbell();
    Doorbell(const Doorbell&) = delete;
    Doorbell& operator=(const Doorbell&) = delete;

  private:
    void run();

    const std::unique_ptr<Client> client_;
    const PoolId pool_;
    const Wake& bell_;
    const Wake over_;
    std::atomic<bool> is_over_ = false;
    std::thread thread_;
};

}  // namespace sema
