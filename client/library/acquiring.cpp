#include "client/library/acquiring.hpp"

#include "client/library/held.hpp"
#include "common/overloaded.hpp"

#include <algorithm>
#include <utility>

namespace sema {
inline namespace v1 {
namespace detail {
namespace {

using namespace std::chrono_literals;

std::vector<std::string> texts_of(const std::vector<Payload>& payloads) {
    std::vector<std::string> texts;
    texts.reserve(payloads.size());
    for (const Payload& payload : payloads)
        texts.push_back(wire::payload_text(payload));
    return texts;
}

constexpr int most_priority = 100;

tl::unexpected<const char*> wrong(const char* option) {
    return tl::unexpected(option);
}

// Whether the server may have a place for the borrower, or a lease, after this answer.
bool is_known_by(const BorrowAnswer& answer) {
    return std::visit(Overloaded{[](const NoSlot& none) { return none.keeps_place; },
                                 [](const Busy& why) { return why.may_be_done; },
                                 [](const Unreachable& why) { return why.may_be_done; },
                                 [](const Rejected& why) { return why.may_be_done || why.is_taken_over; },
                                 [](const auto&) { return false; }},
                      answer);
}

}  // namespace

tl::expected<Acquiring::Wish, const char*> Acquiring::wish_of(const PoolId& pool,
                                                              const acquire_options& options, Duration wait) {
    const auto id = options.id.empty() ? LeaseId::random() : LeaseId::parse(options.id);
    if (!id) return wrong("acquire_options::id");
    if (options.ttl < shortest_ttl) return wrong("acquire_options::ttl");
    if (wait < 0s) return wrong("acquire_options::wait");
    if (options.slots < 1) return wrong("acquire_options::slots");
    if (options.priority < -most_priority || options.priority > most_priority)
        return wrong("acquire_options::priority");
    if (options.grace < 0s) return wrong("acquire_options::grace");
    Wish wish{pool, {}, !options.id.empty(), options.renew, duration_of(options.grace)};
    wish.request.ttl = duration_of(options.ttl);
    wish.request.wait = wait;
    wish.request.lease = id;
    wish.request.slots = options.slots;
    wish.request.priority = options.priority;
    wish.request.extended = true;
    if (options.holder.empty() && options.holder_url.empty()) return wish;
    Holder holder;
    if (!options.holder.empty()) holder.name = options.holder;
    if (!options.holder_url.empty()) holder.url = options.holder_url;
    wish.request.holder = std::make_shared<const Holder>(std::move(holder));
    return wish;
}

Acquiring::Acquiring(std::shared_ptr<Core> core, Wish wish, Done done)
    : core_(std::move(core)), wish_(std::move(wish)), done_(std::move(done)) {}

void Acquiring::begin() {
    if (core_->is_ending()) return finish(closed());
    core_->add(shared_from_this());
    using Stale = Borrowing::Stale;
    const Stale stale = wish_.is_users_id ? Stale::accept : wish_.renews ? Stale::renew : Stale::replace;
    // Nobody is shown the place in between.
    const Borrowing::Polls polls{Borrowing::longest_poll, Borrowing::longest_poll};
    rules_.emplace(wish_.request, stale, polls, BootClock::now());
    if (wish_.request.wait <= 0s) return ask();
    timer_ = core_->engine().at(rules_->deadline(), [this] { give_up(NoSlot{}); });
    core_->enter(shared_from_this());
}

void Acquiring::ask() {
    core_->engine().cancel(timer_);
    const Moment asked = BootClock::now();
    const bool waits = wish_.request.wait > 0s;
    call_ = core_->engine().start<BorrowAnswer>(
        borrow_call(core_->servers(), wish_.pool, rules_->next_call(asked), nullptr, Leaving::by_id,
                    core_->call_limit()),
        waits ? Engine::Urgency::waiting : Engine::Urgency::usual,
        [self = shared_from_this(), asked](std::optional<BorrowAnswer> answer) {
            self->call_ = 0;
            if (!answer) return self->finish(closed());
            self->take_in(*std::move(answer), asked);
        });
}

void Acquiring::take_in(BorrowAnswer answer, Moment asked) {
    may_be_known_ = may_be_known_ || is_known_by(answer);
    if (const auto* grant = std::get_if<Grant>(&answer)) return accept(*grant);
    if (!rules_->is_final(answer, BootClock::now())) return come_back_later(std::move(answer), asked);
    if (const auto* rejected = std::get_if<Rejected>(&answer))
        return finish(failure_of(core_->servers(), *rejected));
    finish(failure_of(core_->servers(), NoSuchPool{}));
}

void Acquiring::accept(const Grant& grant) {
    offer_ = rules_->offer(grant);
    const Moment now = BootClock::now();
    if (rules_->is_as_new(*offer_, now)) return keep();
    if (!rules_->may_renew()) return ask_again();
    call_ = core_->engine().start<KeepaliveAnswer>(
        keepalive_call(core_->servers(), wish_.pool, offer_->grant.lease.lease, wish_.request.ttl,
                       rest_limit(), offer_->grant.lease.fence()),
        Engine::Urgency::urgent,
        [self = shared_from_this(), now](const std::optional<KeepaliveAnswer>& answer) {
            self->call_ = 0;
            if (!answer) return self->finish(closed());
            const auto rest = self->rules_->renewed(*self->offer_, now, *answer);
            rest ? self->judge(*rest) : self->ask_again();
        });
}

void Acquiring::ask_again() {
    if (!rules_->may_ask_again(*offer_)) return judge(Borrowing::Rest::unknown);
    call_ = core_->engine().start<BorrowAnswer>(
        borrow_call(core_->servers(), wish_.pool, rules_->call_for_rest(), nullptr, Leaving::by_id,
                    rest_limit()),
        Engine::Urgency::urgent, [self = shared_from_this()](const std::optional<BorrowAnswer>& answer) {
            self->call_ = 0;
            if (!answer) return self->finish(closed());
            self->judge(self->rules_->asked_again(*self->offer_, *answer));
        });
}

// Keeps what is left, or gives it back and asks for another one.
void Acquiring::judge(Borrowing::Rest rest) {
    const Moment now = BootClock::now();
    if (rules_->is_enough(*offer_, rest, now)) return keep();
    const Grant grant = offer_->grant;
    offer_.reset();
    if (!wish_.is_users_id)
        core_->give_back(wish_.pool, grant.lease.lease, grant.lease.fence(), now + wish_.request.ttl, 0s,
                         [](auto&&...) {});
    rules_->gave_back(grant);
    come_back_later(grant, now);
}

void Acquiring::keep() {
    const Grant& grant = offer_->grant;
    Held::Facts facts{wish_.pool, grant.lease.lease, {grant.lease.position}};
    if (grant.lease.details) {
        facts.positions = grant.lease.details->positions;
        facts.fence = grant.lease.fence();
        facts.payloads = texts_of(grant.lease.details->slots);
    }
    std::optional<Duration> renewal;
    if (wish_.renews) renewal = wish_.request.ttl;
    auto lease = std::make_shared<Held>(core_, std::move(facts), term_of(grant), wish_.grace, renewal);
    lease->keep();
    finish({}, std::move(lease));
}

void Acquiring::come_back_later(BorrowAnswer answer, Moment asked) {
    const Moment now = BootClock::now();
    const Moment next = std::min(rules_->deadline(), rules_->next_try(answer, asked, now));
    if (now >= rules_->deadline()) return give_up(answer);
    timer_ = core_->engine().at(next, [this, answer = std::move(answer)] {
        BootClock::now() >= rules_->deadline() ? give_up(answer) : ask();
    });
}

void Acquiring::give_up(const BorrowAnswer& answer) {
    const auto self = shared_from_this();
    if (may_be_known_ && rules_->leave_limit(answer)) leave_queue();
    std::visit(Overloaded{[&](const Busy& why) { finish(failure_of(core_->servers(), why)); },
                          [&](const Unreachable& why) { finish(failure_of(core_->servers(), why)); },
                          [&](const Rejected& why) {
                              why.is_taken_over ? finish({errc::no_slot, "acquire"})
                                                : finish(failure_of(core_->servers(), why));
                          },
                          [&](const auto&) {
                              finish({errc::no_slot, "acquire"});
                          }},
               answer);
}

void Acquiring::leave_queue() {
    core_->leave_queue(wish_.pool, *rules_->request().lease, wish_.request.ttl, wish_.is_users_id);
}

void Acquiring::cancel(std::error_code why) {
    if (!done_) return;
    const bool is_asking = call_ != 0;
    core_->engine().drop(std::exchange(call_, 0));
    if (offer_ && !wish_.is_users_id)
        core_->give_back(wish_.pool, offer_->grant.lease.lease, offer_->grant.lease.fence(),
                         BootClock::now() + wish_.request.ttl, 0s, [](auto&&...) {});
    else if (is_asking || may_be_known_)
        leave_queue();
    finish({why, "acquire"});
}

void Acquiring::finish(const Failure& why, std::shared_ptr<Held> lease) {
    const auto self = shared_from_this();
    const Done done = std::exchange(done_, nullptr);
    core_->engine().cancel(timer_);
    core_->leave(self);
    core_->remove(self);
    if (done) done(why, std::move(lease));
}

}  // namespace detail
}  // namespace v1
}  // namespace sema
