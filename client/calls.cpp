#include "client/calls.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// What a borrow that doesn't wait may take in all.
constexpr Duration try_limit = 5s;
// How much later than the end of the wait an answer may arrive from a server that works.
constexpr Duration answer_margin = 1s;

NoSlot no_slot(const HttpAnswer& answer, const wire::BorrowRequest& request) {
    NoSlot none;
    if (auto details = wire::parse_borrow_refused(answer.body)) none.details = std::move(*details);
    none.keeps_place = request.lease.has_value() && request.wait > 0s;
    none.slots = request.slots;
    return none;
}

Request inspection(const PoolId& pool) {
    return {"GET", pool_path(pool), ""};
}

PoolAnswer<wire::PoolState> understood_inspection(const HttpAnswer& answer) {
    return understood_of_pool<PoolAnswer<wire::PoolState>>(answer, wire::parse_pool_state);
}

bool is_not_renewed(const KeepaliveAnswer& answer) {
    const auto* renewed = std::get_if<wire::Renewed>(&answer);
    return renewed != nullptr && !renewed->lease;
}

KeepaliveAnswer understood_keepalive(const HttpAnswer& answer, const LeaseId& lease) {
    if (answer.status == 409 && error_reason(answer) == "lease is not renewable") return NotRenewable{};
    return understood<KeepaliveAnswer>(answer, [&](const std::string& body) -> Expected<wire::Renewed> {
        auto renewed = wire::parse_renewed(body);
        if (renewed && renewed->lease && renewed->lease->lease != lease)
            return failure("it is about another lease");
        return renewed;
    });
}

// A call on which the server may say that a lease is not held. That is worth nothing of a server that has not
// even the pool: it is asked for that then.
template <class Result>
class LeaseCall : public Call<Result> {
  public:
    LeaseCall(Servers& servers, const PoolId& pool, Duration limit)
        : Call<Result>(servers, limit), pool_(pool) {}

    Request request() override {
        Request request = doubted_ ? inspection(pool_) : first_request();
        request.connect_limit = this->round().connect_limit(connect_limit());
        request.limit = this->round().limit();
        return request;
    }

  protected:
    virtual Request first_request() const = 0;
    virtual Duration connect_limit() const = 0;

    const PoolId& pool() const { return pool_; }
    bool is_doubted() const { return doubted_.has_value(); }
    void doubt(Result result) { doubted_ = std::move(result); }
    // The doubted answer, or what a look at the pool shows in its place.
    Result confirmed(Exchange exchange) {
        auto seen =
            this->template resolve<PoolAnswer<wire::PoolState>>(std::move(exchange), understood_inspection);
        Result result = *std::exchange(doubted_, std::nullopt);
        return std::visit(Overloaded{[&](wire::PoolState&) { return std::move(result); },
                                     [](NoSuchPool&) -> Result { return stranger(); },
                                     [](auto& trouble) -> Result { return std::move(trouble); }},
                          seen);
    }

  private:
    const PoolId pool_;
    std::optional<Result> doubted_;
};

class KeepaliveCall : public LeaseCall<KeepaliveAnswer> {
  public:
    KeepaliveCall(Servers& servers, const PoolId& pool, const wire::KeepaliveRequest& wanted, Duration limit)
        : LeaseCall(servers, pool, limit), wanted_(wanted) {}

  protected:
    Request first_request() const override {
        return {"POST", pool_path(pool(), "/keepalive"), wire::to_json(wanted_)};
    }
    Duration connect_limit() const override { return Request::usual_connect_limit; }

    std::optional<KeepaliveAnswer> conclude(Exchange exchange) override {
        if (is_doubted()) return unless_it_goes_on(confirmed(std::move(exchange)));
        KeepaliveAnswer answer = resolve(std::move(exchange), [this](const HttpAnswer& http) {
            return understood_keepalive(http, wanted_.lease);
        });
        if (!is_not_renewed(answer) || !is_hearsay()) return unless_it_goes_on(std::move(answer));
        doubt(std::move(answer));
        return std::nullopt;
    }

  private:
    const wire::KeepaliveRequest wanted_;
};

class GiveBackCall : public LeaseCall<Answer<wire::Returned>> {
  public:
    GiveBackCall(Servers& servers, const PoolId& pool, const wire::ReturnRequest& wanted, Duration limit)
        : LeaseCall(servers, pool, limit), wanted_(wanted), limit_(limit) {}

  protected:
    using Result = Answer<wire::Returned>;

    Request first_request() const override {
        return {"POST", pool_path(pool(), "/return"), wire::to_json(wanted_)};
    }
    Duration connect_limit() const override { return limit_; }

    std::optional<Result> conclude(Exchange exchange) override {
        if (is_doubted()) return unless_it_goes_on(confirmed(std::move(exchange)));
        Result result = resolve(std::move(exchange), [](const HttpAnswer& answer) {
            return understood<Result>(answer, wire::parse_returned);
        });
        const auto* done = std::get_if<wire::Returned>(&result);
        if (done == nullptr || done->returned) return unless_it_goes_on(std::move(result));
        // By the server before, whose answer was lost.
        if (round().may_be_done()) return unless_it_goes_on(Result(wire::Returned{true}));
        if (!is_hearsay()) return unless_it_goes_on(std::move(result));
        doubt(std::move(result));
        return std::nullopt;
    }

  private:
    const wire::ReturnRequest wanted_;
    const Duration limit_;
};

class BorrowCall : public Call<BorrowAnswer> {
  public:
    // Each server has its own time: time lost on one does not cut the next one short. But where a limit is
    // given, those that are asked without a wait share it.
    BorrowCall(Servers& servers, const PoolId& pool, const wire::BorrowRequest& asked_for,
               WaitControl* control, Leaving leaving, std::optional<Duration> limit)
        : Call(servers, limit && asked_for.wait <= 0s ? *limit : longest_duration,
               asked_for.lease ? Repeat::safe : Repeat::unsafe),
          pool_(pool),
          asked_for_(asked_for),
          control_(control),
          leaving_(leaving),
          limit_(limit),
          begin_(BootClock::now()) {}

    Request request() override {
        if (return_) return return_->request();
        wire::BorrowRequest wanted = asked_for_;
        asked_ = BootClock::now();
        if (round().failed() > 0) wanted.wait = std::max<Duration>(wanted.wait - (asked_ - begin_), 0s);
        Request request{"POST", pool_path(pool_, "/borrow"), wire::to_json(wanted)};
        // A host that swallows packets does not make a wait of 2 s one of 5.
        if (wanted.wait > 0s)
            request.connect_limit = std::clamp<Duration>(wanted.wait, 1s, Request::usual_connect_limit);
        request.connect_limit = round().connect_limit(request.connect_limit);
        request.limit = limit_of(wanted.wait);
        // On a connection that was used before, curl would send the request again once the server hangs up,
        // and so queue anew when we mean to leave.
        if (leaving_ == Leaving::by_hanging_up) request.reuse = Reuse::never;
        request.control = control_;
        // Its answer lists the slots' payloads.
        if (wanted.extended) request.longest_answer = longest_lease;
        return request;
    }

  protected:
    std::optional<BorrowAnswer> conclude(Exchange exchange) override {
        if (return_) {
            if (!return_->take(std::move(exchange))) return std::nullopt;
            return Rejected{"cannot lend several slots at once: it has no extensions"};
        }
        BorrowAnswer result =
            resolve(std::move(exchange), [this](const HttpAnswer& answer) { return understand(answer); });
        if (goes_on(result)) return std::nullopt;
        const auto* grant = std::get_if<Grant>(&result);
        if (grant == nullptr || grant->lease.details || asked_for_.slots == 1) return result;
        return_ = give_back_call(servers(), pool_, grant->lease.lease, usual_call);
        return std::nullopt;
    }

  private:
    Duration limit_of(Duration wait) {
        const Duration margin = std::min(limit_.value_or(answer_margin), answer_margin);
        if (wait > 0s) return wait + margin;
        // The wait went by at the servers before.
        if (asked_for_.wait > 0s) return margin;
        if (limit_) return round().limit();
        return std::max<Duration>(try_limit / static_cast<Duration::rep>(servers().list.size()), margin);
    }

    BorrowAnswer understand(const HttpAnswer& answer) {
        if (answer.status == 200) {
            auto lease = wire::parse_lease_grant(answer.body);
            if (!lease) return Rejected{"gave an answer that no semad gives: " + lease.error().message, true};
            const Duration ttl = granted_ttl(lease->expires_in, asked_for_.ttl);
            return Grant{*lease, ttl, asked_, round().may_be_done()};
        }
        if (says_no_such_pool(answer)) return NoSuchPool{};
        // The place is kept, at whichever server it was got.
        if (answer.status == 409 && error_reason(answer) == "no resource available")
            return no_slot(answer, asked_for_);
        if (answer.status == 409 && error_reason(answer) == "taken over by a newer request")
            return Rejected{.reason =
                                "refused: another borrower waits under the same lease's id, in "
                                "this one's place (status 409)",
                            .may_be_done = false,
                            .is_taken_over = true};
        if (answer.status == 409 && error_reason(answer) == "cancelled")
            return Rejected{
                .reason = "refused: cancelled (status 409)", .may_be_done = false, .is_cancelled = true};
        return unexpected<BorrowAnswer>(answer);
    }

    const PoolId pool_;
    const wire::BorrowRequest asked_for_;
    WaitControl* const control_;
    const Leaving leaving_;
    const std::optional<Duration> limit_;
    const Moment begin_;
    /// When the request that is under way went out.
    Moment asked_;
    /// Of a lease of one slot, which is not what was asked for.
    CallPtr<Answer<wire::Returned>> return_;
};

template <class Result, class Understand>
CallPtr<Result> simple(Servers& servers, Request request, Duration limit, Understand understand,
                       Repeat repeat = Repeat::safe) {
    request.connect_limit = std::min(request.connect_limit, limit);
    request.limit = limit;
    return std::make_unique<SimpleCall<Result, Understand>>(servers, std::move(request), understand, repeat);
}

}  // namespace

CallPtr<Answer<wire::PoolState>> register_call(Servers& servers, const PoolId& pool,
                                               const wire::RegisterRequest& request, Duration limit) {
    using Result = Answer<wire::PoolState>;
    return simple<Result>(
        servers, {"PUT", pool_path(pool), wire::to_json(request)}, limit,
        [](const HttpAnswer& answer) { return understood<Result>(answer, wire::parse_pool_state); });
}

CallPtr<PoolAnswer<wire::PoolState>> inspect_call(Servers& servers, const PoolId& pool, Duration limit) {
    return simple<PoolAnswer<wire::PoolState>>(servers, inspection(pool), limit, understood_inspection);
}

CallPtr<PoolAnswer<wire::PoolDetails>> holders_call(Servers& servers, const PoolId& pool, Duration limit) {
    using Result = PoolAnswer<wire::PoolDetails>;
    Request request{"GET", pool_path(pool, "/holders"), ""};
    request.longest_answer = longest_list;
    return simple<Result>(servers, std::move(request), limit, [](const HttpAnswer& answer) {
        return understood_of_pool<Result>(answer, wire::parse_pool_details);
    });
}

CallPtr<PoolAnswer<wire::PoolState>> resize_call(Servers& servers, const PoolId& pool, std::int64_t by,
                                                 Duration limit) {
    return simple<PoolAnswer<wire::PoolState>>(
        servers, {"POST", pool_path(pool, "/resize"), wire::to_json(wire::ResizeRequest{by})}, limit,
        understood_inspection, Repeat::unsafe);
}

CallPtr<Answer<wire::Cancelled>> cancel_call(Servers& servers, const PoolId& pool, const LeaseId& lease,
                                             Duration limit) {
    using Result = Answer<wire::Cancelled>;
    return simple<Result>(
        servers, {"DELETE", pool_path(pool, "/queue/") + lease.str(), ""}, limit,
        [](const HttpAnswer& answer) { return understood<Result>(answer, wire::parse_cancelled); });
}

CallPtr<KeepaliveAnswer> keepalive_call(Servers& servers, const PoolId& pool, const LeaseId& lease,
                                        Duration ttl, Duration limit, std::optional<std::uint64_t> fence) {
    return std::make_unique<KeepaliveCall>(servers, pool, wire::KeepaliveRequest{lease, ttl, fence}, limit);
}

CallPtr<Answer<wire::Returned>> give_back_call(Servers& servers, const PoolId& pool, const LeaseId& lease,
                                               Duration limit, std::optional<std::uint64_t> fence) {
    return std::make_unique<GiveBackCall>(servers, pool, wire::ReturnRequest{lease, fence}, limit);
}

CallPtr<BorrowAnswer> borrow_call(Servers& servers, const PoolId& pool, const wire::BorrowRequest& request,
                                  WaitControl* control, Leaving leaving, std::optional<Duration> limit) {
    return std::make_unique<BorrowCall>(servers, pool, request, control, leaving, limit);
}

}  // namespace sema
