#include "client/scheduler/lease_source.hpp"

#include "client/client.hpp"
#include "common/overloaded.hpp"

#include <mutex>
#include <utility>
#include <variant>
#include <vector>

namespace sema {
namespace {

using Kind = LeaseTrouble::Kind;

template <class Why>
tl::unexpected<LeaseTrouble> trouble(const Client& client, const Why& why) {
    if constexpr (std::is_same_v<Why, NoSuchPool>) {
        return tl::unexpected(LeaseTrouble{Kind::no_such_pool, "no such pool on " + client.server().name});
    } else {
        return tl::unexpected(LeaseTrouble{std::is_same_v<Why, Rejected> ? Kind::rejected : Kind::unavailable,
                                           client.server().name + " " + predicate(why)});
    }
}

/// Clients are for one thread at a time: each call takes one that is idle.
class ServerLeases : public LeaseSource {
  public:
    ServerLeases(const Client& client, const PoolId& pool, Duration call_limit)
        : model_(client.another()), pool_(pool), call_limit_(call_limit) {}

    LeaseOutcome<wire::PoolDetails> view() override {
        const Loan client(*this);
        return std::visit(
            Overloaded{
                [](wire::PoolDetails& view) -> LeaseOutcome<wire::PoolDetails> { return std::move(view); },
                [&](auto& why) -> LeaseOutcome<wire::PoolDetails> { return trouble(*client, why); }},
            value(client->holders(pool_, call_limit_)));
    }

    LeaseOutcome<Borrowed> borrow(const wire::BorrowRequest& request, WaitControl& control) override {
        using Result = LeaseOutcome<Borrowed>;
        const Loan client(*this);
        return std::visit(Overloaded{[](Grant& grant) -> Result { return Borrowed{std::move(grant.lease)}; },
                                     [](NoSlot&) -> Result { return Borrowed{}; },
                                     [](Left&) -> Result { return Borrowed{}; },
                                     [&](Rejected& why) -> Result {
                                         if (why.is_taken_over) return Borrowed{};
                                         if (why.is_cancelled) return Borrowed{std::nullopt, true};
                                         return trouble(*client, why);
                                     },
                                     [&](auto& why) -> Result { return trouble(*client, why); }},
                          value(client->borrow(pool_, request, control)));
    }

    LeaseOutcome<std::optional<Renewal>> renew(const LeaseId& lease, std::uint64_t fence,
                                               Duration ttl) override {
        using Result = LeaseOutcome<std::optional<Renewal>>;
        const Loan client(*this);
        return std::visit(
            Overloaded{[](wire::Renewed& renewed) -> Result {
                           if (!renewed.lease) return std::nullopt;
                           return Renewal{renewed.lease->expires_at_unix, renewed.lease->expires_in};
                       },
                       [](NotRenewable&) -> Result {
                           return tl::unexpected(
                               LeaseTrouble{Kind::rejected, "the pool does not let its leases be renewed"});
                       },
                       [&](auto& why) -> Result { return trouble(*client, why); }},
            value(client->keepalive(pool_, lease, ttl, call_limit_, fence)));
    }

    LeaseOutcome<bool> give_back(const LeaseId& lease, std::uint64_t fence) override {
        const Loan client(*this);
        return std::visit(
            Overloaded{[](wire::Returned& answer) -> LeaseOutcome<bool> { return answer.returned; },
                       [&](auto& why) -> LeaseOutcome<bool> { return trouble(*client, why); }},
            value(client->give_back(pool_, lease, call_limit_, fence)));
    }

    LeaseOutcome<bool> cancel(const LeaseId& place) override {
        const Loan client(*this);
        return std::visit(
            Overloaded{[](wire::Cancelled& answer) -> LeaseOutcome<bool> { return answer.cancelled; },
                       [&](auto& why) -> LeaseOutcome<bool> { return trouble(*client, why); }},
            value(client->cancel(pool_, place, call_limit_)));
    }

  private:
    class Loan {
      public:
        explicit Loan(ServerLeases& owner) : owner_(owner), client_(owner.take()) {}
        ~Loan() { owner_.put(std::move(client_)); }
        Loan(const Loan&) = delete;
        Loan& operator=(const Loan&) = delete;
        Client* operator->() const { return client_.get(); }
        const Client& operator*() const { return *client_; }

      private:
        ServerLeases& owner_;
        std::unique_ptr<Client> client_;
    };

    // An answer that std::visit() may move from.
    template <class Answer>
    static Answer& value(Answer&& answer) {
        return answer;
    }

    std::unique_ptr<Client> take() {
        const std::lock_guard lock(mutex_);
        if (idle_.empty()) return model_->another();
        auto client = std::move(idle_.back());
        idle_.pop_back();
        return client;
    }

    void put(std::unique_ptr<Client> client) {
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(client));
    }

    std::mutex mutex_;
    const std::unique_ptr<Client> model_;
    std::vector<std::unique_ptr<Client>> idle_;
    const PoolId pool_;
    const Duration call_limit_;
};

}  // namespace

std::unique_ptr<LeaseSource> make_lease_source(const Client& client, const PoolId& pool,
                                               std::optional<Duration> call_limit) {
    return std::make_unique<ServerLeases>(client, pool, call_limit.value_or(usual_call));
}

}  // namespace sema
