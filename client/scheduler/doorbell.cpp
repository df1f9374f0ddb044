#include "client/scheduler/doorbell.hpp"

#include "client/backoff.hpp"
#include "client/client.hpp"
#include "client/signals_blocked.hpp"

#include <variant>

namespace sema {
namespace {

class UntilOver : public WaitControl {
  public:
    UntilOver(const Wake& wake, const std::atomic<bool>& is_over) : wake_(wake), is_over_(is_over) {}
    int wake_fd() const override { return wake_.fd(); }
    bool keep_waiting() override { return !is_over_; }

  private:
    const Wake& wake_;
    const std::atomic<bool>& is_over_;
};

}  // namespace

Doorbell::Doorbell(const Client& client, const PoolId& pool, const Wake& bell)
    : client_(client.another()), pool_(pool), bell_(bell) {
    const SignalsBlocked blocked;
    thread_ = std::thread([this] { run(); });
}

Doorbell::~Doorbell() {
    is_over_ = true;
    over_.ring();
    thread_.join();
}

void Doorbell::run() {
    UntilOver control(over_, is_over_);
    Backoff backoff;
    while (!is_over_) {
        client_->watch(
            pool_,
            [&](const wire::PoolDetails&) {
                backoff.reset();
                bell_.ring();
                return true;
            },
            control);
        // Whatever it was that ended it: the pass that asks the server for the state says what is wrong.
        if (!is_over_) over_.wait(backoff.next());
    }
}

}  // namespace sema
