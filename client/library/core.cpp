#include "client/library/core.hpp"

#include "client/backoff.hpp"
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

// How long a client that is destroyed waits for its last calls to the servers.
constexpr Duration last_patience = 1500ms;
// Of one try to return a lease, and of the pause after it.
constexpr Duration longest_try = 5s;
constexpr Duration shortest_try = 200ms;
constexpr Duration longest_pause = 500ms;

[[noreturn]] void refuse(const std::string& what) {
    throw error(std::make_error_code(std::errc::invalid_argument), what);
}

std::vector<ServerAddress> addresses_of(const client_options& options) {
    auto servers = parse_server_addresses(options.server);
    if (!servers) refuse(servers.error().message);
    if (!options.key_file.empty() && options.certificate_file.empty())
        refuse("a key is of no use without its certificate");
    for (ServerAddress& server : *servers)
        server.tls = {.authorities = options.ca_file,
                      .certificate = options.certificate_file,
                      .key = options.key_file,
                      .authorities_option = "client_options::ca_file",
                      .pair_options = "client_options::certificate_file and key_file"};
    return *std::move(servers);
}

client_options checked(client_options options) {
    if (options.call_timeout <= 0s) refuse("the time that a call may take is not positive");
    if (options.most_places < 1) refuse("no acquire may wait at the server");
    return options;
}

}  // namespace

struct Core::Returning {
    PoolId pool;
    LeaseId lease;
    std::optional<std::uint64_t> fence;
    Moment ends_at;
    Moment reply_at;
    Returned done;
    /// One of the tries may have worked, though its answer was lost.
    bool may_be_returned = false;
    Backoff backoff{};
    Engine::Timer timer{};
    Failure trouble{};

    void reply(const Failure& why, bool was_held) {
        if (const Returned once = std::exchange(done, nullptr)) once(why, was_held);
    }
};

Duration duration_of(std::chrono::nanoseconds time) {
    return std::min(std::chrono::ceil<Duration>(std::min<std::chrono::nanoseconds>(time, longest_duration)),
                    longest_duration);
}

Core::Core(client_options options)
    : options_(checked(std::move(options))),
      call_limit_(duration_of(options_.call_timeout)),
      addresses_(addresses_of(options_)),
      engine_(addresses_) {}

Core::~Core() = default;

void Core::leave_alone() {
    self_ = shared_from_this();
    engine_.forget_thread();
}

void Core::end() {
    engine_.post([this] { close(); });
    engine_.join();
}

void Core::close() {
    is_ending_ = true;
    work_begins();
    for (const auto& borrower : std::exchange(borrowers_, {}))
        borrower->cancel(errc::client_closed);
    for (const auto& lease : std::exchange(leases_, {}))
        lease->close();
    engine_.at(BootClock::now() + last_patience, [this] {
        // One that pauses between two tries has no call that is given up.
        for (const auto& work : std::exchange(returning_, {}))
            work->reply(closed(), false);
        engine_.finish();
    });
    work_ends();
}

void Core::work_ends() {
    --works_;
    if (is_ending_ && works_ == 0) engine_.finish();
}

// ---- places

Core::LaneKey Core::key_of(const Acquiring& borrower) {
    return {borrower.pool(), borrower.priority()};
}

void Core::enter(const std::shared_ptr<Acquiring>& borrower) {
    Lane& lane = lanes_[key_of(*borrower)];
    if (has_room(lane)) return place(lane, borrower);
    borrower->wait_as(++last_arrival_);
    lane.waiting.emplace(last_arrival_, borrower);
    ++unplaced_;
}

// Half of the process's descriptors are for those that wait, and an eighth is for the first of each lane,
// since a slot of its pool may be free. An eighth is for the engine's usual calls; a quarter is left for
// renewals and for the program.
bool Core::has_room(const Lane& lane) const {
    const std::size_t eighth = std::max<std::size_t>(engine_.descriptors() / 8, 1);
    return lane.placed.size() < options_.most_places && placed_ < eighth * (lane.placed.empty() ? 5 : 4);
}

void Core::place(Lane& lane, const std::shared_ptr<Acquiring>& borrower) {
    lane.placed.insert(borrower);
    ++placed_;
    borrower->ask();
}

void Core::place_next() {
    Lane* next = nullptr;
    for (auto& [key, lane] : lanes_) {
        if (lane.waiting.empty() || !has_room(lane)) continue;
        if (next == nullptr || lane.waiting.begin()->first < next->waiting.begin()->first) next = &lane;
    }
    if (next == nullptr) return;
    const auto borrower = next->waiting.extract(next->waiting.begin());
    --unplaced_;
    place(*next, borrower.mapped());
}

void Core::leave(const std::shared_ptr<Acquiring>& borrower) {
    const auto found = lanes_.find(key_of(*borrower));
    if (found == lanes_.end()) return;
    auto& [placed, waiting] = found->second;
    const bool had_place = placed.erase(borrower) != 0;
    if (had_place)
        --placed_;
    else
        unplaced_ -= waiting.erase(borrower->arrival());
    if (placed.empty() && waiting.empty()) lanes_.erase(found);
    if (had_place && unplaced_ != 0 && !is_ending_) place_next();
}

// ---- what is returned

void Core::give_back(const PoolId& pool, const LeaseId& lease, std::optional<std::uint64_t> fence,
                     Moment ends_at, Duration patience, Returned done) {
    work_begins();
    const Moment now = BootClock::now();
    const auto work = std::make_shared<Returning>(
        Returning{pool, lease, fence, ends_at, std::min(ends_at, now + patience), std::move(done)});
    const std::string& server = servers().list[servers().current].name;
    work->trouble = {errc::unavailable, server + " has not answered"};
    returning_.insert(work);
    // It is not held any more, whatever becomes of the return.
    if (ends_at <= now) work->reply({}, false);
    work->timer = engine_.at(work->reply_at, [work] { work->reply(work->trouble, false); });
    try_to_return(work);
}

void Core::try_to_return(const std::shared_ptr<Returning>& work) {
    const Duration left = work->ends_at - BootClock::now();
    const Duration limit = std::clamp(left / 2, shortest_try, longest_try);
    engine_.start<Answer<wire::Returned>>(
        give_back_call(servers(), work->pool, work->lease, limit, work->fence), Engine::Urgency::usual,
        [this, work](std::optional<Answer<wire::Returned>> answer) { after_try(work, std::move(answer)); });
}

void Core::after_try(const std::shared_ptr<Returning>& work, std::optional<Answer<wire::Returned>> answer) {
    const auto end = [&](const Failure& why, bool was_held) {
        engine_.cancel(work->timer);
        returning_.erase(work);
        work->reply(why, was_held);
        work_ends();
    };
    if (!answer) return end(closed(), false);
    if (const auto* done = std::get_if<wire::Returned>(&*answer))
        return end({}, done->returned || work->may_be_returned);
    if (const auto* why = std::get_if<Rejected>(&*answer)) return end(failure_of(servers(), *why), false);
    const auto again = [&](const auto& why) {
        work->trouble = failure_of(servers(), why);
        work->may_be_returned = work->may_be_returned || why.may_be_done;
    };
    if (const auto* busy = std::get_if<Busy>(&*answer)) again(*busy);
    if (const auto* unreachable = std::get_if<Unreachable>(&*answer)) again(*unreachable);
    const Moment next = BootClock::now() + std::min(work->backoff.next(), longest_pause);
    if (next >= work->ends_at) return end(work->trouble, false);
    engine_.at(next, [this, work] { try_to_return(work); });
}

void Core::leave_queue(const PoolId& pool, const LeaseId& lease, Duration ttl, bool is_users_id) {
    work_begins();
    engine_.start<Answer<wire::Cancelled>>(
        cancel_call(servers(), pool, lease, call_limit_), Engine::Urgency::usual,
        [=, this](const std::optional<Answer<wire::Cancelled>>& answer) {
            const auto* done = answer ? std::get_if<wire::Cancelled>(&*answer) : nullptr;
            const bool may_be_held = answer && !(done != nullptr && done->cancelled);
            if (may_be_held && !is_users_id)
                give_back(pool, lease, std::nullopt, BootClock::now() + ttl, 0s, [](const Failure&, bool) {});
            work_ends();
        });
}

// ---- from the interface

const std::shared_ptr<Core>& Access::core_of(const client& client) {
    return client.core_;
}

}  // namespace detail
}  // namespace v1
}  // namespace sema
