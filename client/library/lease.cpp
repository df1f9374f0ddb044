#include "client/library/held.hpp"
#include "client/library/waiting.hpp"

#include <sema/lease.hpp>

#include <exception>
#include <utility>

namespace sema {
inline namespace v1 {
namespace detail {

const std::shared_ptr<Held>& Access::held_of(const lease& lease) {
    return lease.held_;
}

}  // namespace detail

namespace {

using namespace std::chrono_literals;
using detail::Failure;
using detail::Held;

// How long a destructor waits.
constexpr Duration short_patience = 1500ms;

struct Returned {
    Failure why;
    bool was_held = false;
};

// In a child process nothing is done with the parent's lease.
bool is_left_alone(const std::shared_ptr<Held>& held) noexcept {
    if (!held || held->client().is_here()) return false;
    held->leave_alone();
    return true;
}

// Returns the lease, and waits for that for up to `wait`.
std::optional<Returned> give_back(const std::shared_ptr<Held>& held, Duration patience, Duration wait) {
    if (!held->let_go()) return Returned{};
    const auto answer = std::make_shared<detail::Promised<Returned>>();
    held->give_back(patience, [answer](const Failure& why, bool was_held) { answer->give({why, was_held}); });
    if (held->client().is_own_thread() || !answer->wait_for(wait)) return std::nullopt;
    return answer->wait();
}

// Waits for as long as the client's thread has patience.
Returned give_back(std::shared_ptr<Held>& held) {
    if (held && held->client().is_here() && held->client().is_own_thread()) return {detail::deadlock()};
    const auto taken = std::exchange(held, nullptr);
    if (!taken) return {};
    if (is_left_alone(taken)) return {detail::closed()};
    return give_back(taken, taken->client().call_limit(), longest_duration).value_or(Returned{});
}

void let_go_of(const std::shared_ptr<Held>& held) noexcept {
    if (!held || is_left_alone(held)) return;
    try {
        give_back(held, short_patience, short_patience);
    } catch (const std::exception&) {
        // Out of memory, most likely. The slot frees itself at the end of its ttl.
        held->abandon();
    }
}

}  // namespace

lease::lease() noexcept = default;
lease::lease(std::shared_ptr<detail::Held> held) noexcept : held_(std::move(held)) {}
lease::lease(lease&& other) noexcept = default;

lease::~lease() {
    let_go_of(held_);
}

lease& lease::operator=(lease&& other) noexcept {
    if (this != &other) let_go_of(std::exchange(held_, std::move(other.held_)));
    return *this;
}

lease::operator bool() const noexcept {
    return held_ && held_->is_held();
}

unsigned lease::position() const {
    return held_ ? held_->known().positions.front() : 0;
}

std::vector<unsigned> lease::positions() const {
    return held_ ? held_->known().positions : std::vector<unsigned>();
}

std::uint64_t lease::fence() const {
    return held_ ? held_->known().fence.value_or(0) : 0;
}

std::string lease::payload() const {
    return held_ && !held_->known().payloads.empty() ? held_->known().payloads.front() : "";
}

std::vector<std::string> lease::payloads() const {
    return held_ ? held_->known().payloads : std::vector<std::string>();
}

std::chrono::system_clock::time_point lease::expires_at() const {
    if (!held_ || !held_->client().is_here()) return {};
    return std::chrono::system_clock::now() + (held_->ends_at() - BootClock::now());
}

std::string lease::id() const {
    return held_ ? held_->known().id.str() : "";
}

std::stop_token lease::lost() const {
    return held_ ? held_->lost() : std::stop_token();
}

void lease::on_lost(std::function<void()> function) {
    if (held_ && held_->client().is_here()) held_->on_lost(std::move(function));
}

std::error_code lease::reason() const {
    if (!held_) return {};
    return held_->client().is_here() ? held_->reason() : errc::client_closed;
}

bool lease::give_back(std::error_code& code) {
    const Returned returned = sema::v1::give_back(held_);
    detail::say(returned.why, code);
    return returned.was_held;
}

bool lease::give_back() {
    const Returned returned = sema::v1::give_back(held_);
    detail::raise(returned.why);
    return returned.was_held;
}

std::string lease::detach() {
    const auto held = std::exchange(held_, nullptr);
    if (!held) return "";
    if (!is_left_alone(held)) {
        held->let_go();
        held->abandon();
    }
    return held->known().id.str();
}

void lease::start_give_back(std::function<void(std::error_code, bool)> done) {
    const auto held = std::exchange(held_, nullptr);
    if (is_left_alone(held)) return done(errc::client_closed, false);
    if (!held || !held->let_go()) return done({}, false);
    held->give_back(held->client().call_limit(), [done = std::move(done)](const Failure& why, bool was_held) {
        done(why.code, was_held);
    });
}

}  // namespace v1
}  // namespace sema
