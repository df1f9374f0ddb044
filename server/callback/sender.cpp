#include "server/callback/sender.hpp"

#include "common/overloaded.hpp"
#include "server/callback/signature.hpp"
#include "server/service/lease_grant.hpp"

#include <stdlib.h>

#include <algorithm>
#include <new>
#include <random>

namespace sema::callback {
namespace {

// Calls at a time, of all.
constexpr unsigned most_to_one = 16;
constexpr unsigned most_to_one_silent = 2;
// Receivers that have answered and are not to be called now: some hundred bytes each.
constexpr std::size_t most_known = 1000;
// How often it is looked whether another server is lost. Less than that after a failure of the store.
constexpr Duration find_interval = std::chrono::seconds(2);
constexpr Duration store_pause = std::chrono::seconds(1);
// A receiver may ask for any time.
constexpr std::chrono::seconds longest_asked = std::chrono::hours(24 * 365);
// Nobody sleeps longer: a thread's sleep does not count the time for which the machine was suspended.
constexpr std::chrono::milliseconds longest_sleep(1000);

std::int64_t unix_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// What the receiver is sent of the lease.
std::string body_of(const LeaseGranted& granted, const Clock& clock, const wire::Callback& callback) {
    std::string body = wire::to_json(lease_grant(granted, clock));
    if (callback.body.empty()) return body;
    body.back() = ',';
    return body + R"("body":)" + callback.body + "}";
}

// Callbacks that cannot be read count as one receiver, which is never called.
std::string origin_of(const CallbackText& text) {
    const auto callback = wire::parse_callback(text);
    const auto receiver = callback ? parse_receiver(callback->url) : tl::unexpected(callback.error());
    return receiver ? receiver->origin : "an address that cannot be read";
}

}  // namespace

Sender::Sender(Service& service, const Clock& clock, std::function<void(const std::string&)> warn,
               Patience patience, unsigned places)
    : service_(service), clock_(clock), warn_(std::move(warn)), patience_(patience), places_(places) {
    static const CURLcode global = [] {
        // libcurl would write the keys of all TLS connections there.
        ::unsetenv("SSLKEYLOGFILE");
        return curl_global_init(CURL_GLOBAL_DEFAULT);
    }();
    multi_.reset(curl_multi_init());
    if (global != CURLE_OK || !multi_) throw std::bad_alloc();
}

Sender::~Sender() {
    drain(Duration::zero());
    stop();
}

void Sender::set(RequestOptions options) {
    const MutexLock lock(mutex_);
    options_ = std::make_shared<const RequestOptions>(std::move(options));
}

std::shared_ptr<const RequestOptions> Sender::options() const {
    const MutexLock lock(mutex_);
    return options_;
}

Expected<void> Sender::check(const wire::Callback& callback) const {
    const auto options = this->options();
    if (options->allowed.empty()) return options->allowed.check({});
    const auto receiver = parse_receiver(callback.url);
    if (!receiver) return tl::unexpected(receiver.error());
    if (auto keys = parse_secret(callback.secret); !keys) return tl::unexpected(keys.error());
    return options->allowed.check(*receiver);
}

void Sender::start() {
    thread_ = std::thread([this] { run(); });
}

void Sender::drain(Duration patience) {
    if (stopping_) return;
    stop_at_ = std::chrono::steady_clock::now() + patience;
    stopping_ = true;
    curl_multi_wakeup(multi_.get());
}

void Sender::stop() {
    if (thread_.joinable()) thread_.join();
}

bool Sender::knows(const PoolId& pool, const Pool::Grant& grant) const {
    const MutexLock lock(mutex_);
    return known_.contains({pool, grant.lease, grant.fence});
}

void Sender::call(const PoolId& pool, const LeaseGranted& granted) {
    put(New{{pool, granted.lease.id, granted.lease.fence}, granted});
}

void Sender::put(std::variant<New, Answered> message) {
    {
        const MutexLock lock(mutex_);
        if (const auto* fresh = std::get_if<New>(&message); fresh && !known_.insert(fresh->key).second)
            return;
        inbox_.push_back(std::move(message));
    }
    curl_multi_wakeup(multi_.get());
}

Reply Sender::reply_for(const Key& key) {
    return [this, key](const Answer& answer) { put(Answered{key, answer}); };
}

void Sender::run() {
    while (true) {
        take_messages();
        if (stopping_ && (under_way_ == 0 || std::chrono::steady_clock::now() >= stop_at_.load())) break;
        int running = 0;
        curl_multi_perform(multi_.get(), &running);
        take_results();
        // Last, since it sees when there is something to do again.
        if (!stopping_) begin_due();
        if (!stopping_ && clock_.now() >= find_at_) {
            find_at_ = clock_.now() + find_interval;
            service_.find_callbacks();
        }
        while (service_.settle()) {
        }
        const auto sleep = static_cast<int>(time_to_next().count());
        curl_multi_poll(multi_.get(), nullptr, 0, sleep, nullptr);
    }
    for (auto& [key, task] : tasks_)
        release(task);
}

void Sender::take_messages() {
    std::vector<std::variant<New, Answered>> messages;
    {
        const MutexLock lock(mutex_);
        messages.swap(inbox_);
    }
    for (auto& message : messages)
        std::visit([this](auto& any) { take(any); }, message);
}

void Sender::take(New& message) {
    const LeaseGranted& granted = message.granted;
    Task& task = tasks_[message.key];
    task.receiver = origin_of(*granted.lease.delivery->callback);
    task.pool_name = granted.settings ? granted.settings->name : "";
    pending_ = tasks_.size();
    update(task, granted.lease);
    wait_until(message.key, task, task.delivery->next_attempt);
}

void Sender::update(Task& task, const Lease& lease) {
    task.delivery = lease.delivery;
    task.expires_at = lease.expires_at;
    task.ttl = lease.ttl;
}

/// The service's word on an attempt that is about to begin, or has ended.
void Sender::take(Answered& message) {
    const auto found = tasks_.find(message.key);
    if (found == tasks_.end()) return;
    const Key& key = message.key;
    Task& task = found->second;
    const auto* state = std::get_if<DeliveryState>(&message.answer);
    // The store did not do it, or not for certain.
    if (!state && task.end) return wake_at(key, task, clock_.now() + store_pause);
    if (!state) {
        release(task);
        return wait_until(key, task, clock_.now() + store_pause);
    }
    const auto end = std::exchange(task.end, std::nullopt);
    if (end && state->is_done) report(task, *end);
    if (!state->due) return forget(key);
    update(task, state->due->lease);
    end ? wait_until(key, task, task.delivery->next_attempt) : send(key, task, *state->due);
}

/// The next attempt is due then, unless it has no turn until it is too late.
void Sender::wait_until(const Key& key, Task& task, TimePoint due) {
    task.due = due;
    lines_[task.receiver].next.emplace(due, key);
    wake_at(key, task, task.expires_at - task.ttl / 2);
}

void Sender::wake_at(const Key& key, Task& task, TimePoint time) {
    task.wakes_at = time;
    wakes_.emplace(time, key);
}

/// Frees the room that the task took.
void Sender::release(Task& task) {
    if (task.attempt) {
        curl_multi_remove_handle(multi_.get(), task.attempt->handle());
        task.attempt.reset();
        --under_way_;
    }
    if (std::exchange(task.has_place, false)) --lines_.at(task.receiver).busy;
}

void Sender::forget(const Key& key) {
    const auto found = tasks_.find(key);
    release(found->second);
    const auto line = lines_.find(found->second.receiver);
    if (line != lines_.end() && line->second.busy == 0 && line->second.next.empty() &&
        (line->second.standing != Standing::answering || lines_.size() > most_known))
        lines_.erase(line);
    tasks_.erase(found);
    pending_ = tasks_.size();
    const MutexLock lock(mutex_);
    known_.erase(key);
}

unsigned Sender::Line::room() const {
    return standing == Standing::silent ? most_to_one_silent : most_to_one;
}

// Receivers that do not answer, however many, leave room for those that may, and both for those that do.
Sender::Places::Places(const Lines& lines, unsigned most)
    : most_{std::max(1U, most / 2), std::max(1U, 3 * most / 4), most} {
    for (const auto& [receiver, line] : lines)
        take(line.standing, line.busy);
}

/// Receivers of a better standing may take places meant for a worse one, and not the other way round.
void Sender::Places::take(Standing standing, unsigned count) {
    for (auto i = static_cast<std::size_t>(standing); i < taken_.size(); ++i)
        taken_[i] += count;
}

bool Sender::Places::has_room(Standing standing) const {
    for (auto i = static_cast<std::size_t>(standing); i < taken_.size(); ++i) {
        if (taken_[i] >= most_[i]) return false;
    }
    return true;
}

void Sender::begin_due() {
    const TimePoint now = clock_.now();
    Places places(lines_, places_);
    wake_due(places, now);
    // The receiver with the fewest calls under way is next; of several, the one that waits longest.
    std::set<std::tuple<unsigned, TimePoint, Line*>> waiting;
    const auto add = [&](Line& line) {
        if (line.next.empty() || line.busy >= line.room()) return;
        const TimePoint due = line.next.begin()->first;
        if (due <= now) {
            waiting.emplace(line.busy, due, &line);
        } else {
            begin_at_ = std::min(begin_at_, due);
        }
    };
    begin_at_ = Timeline::never;
    for (auto& [receiver, line] : lines_)
        add(line);
    while (!waiting.empty()) {
        Line& line = *std::get<Line*>(waiting.extract(waiting.begin()).value());
        if (!places.has_room(line.standing)) continue;
        const Key key = line.next.begin()->second;
        line.next.erase(line.next.begin());
        ++line.busy;
        places.take(line.standing, 1);
        begin(key, tasks_.at(key));
        add(line);
    }
}

/// What needs no place: ends that are to be stored again, and calls that had no turn in time.
void Sender::wake_due(const Places& places, TimePoint now) {
    while (!wakes_.empty() && wakes_.begin()->first <= now) {
        const Key key = wakes_.extract(wakes_.begin()).value().second;
        Task& task = tasks_.at(key);
        if (task.end) {
            store_end(key, task);
            continue;
        }
        Line& line = lines_.at(task.receiver);
        line.next.erase({task.due, key});
        if (line.busy >= line.room()) {
            give_up(key, task, Outcome::no_turn,
                    std::to_string(line.busy) + " calls to that receiver were not answered yet");
        } else if (!places.has_room(line.standing)) {
            give_up(key, task, Outcome::no_turn, "too many calls to other receivers were not answered yet");
        } else {
            give_up(key, task, Outcome::given_up, task.delivery->last_error);
        }
    }
}

void Sender::begin(const Key& key, Task& task) {
    task.has_place = true;
    wakes_.erase({task.wakes_at, key});
    const auto& [pool, lease, fence] = key;
    service_.check_delivery(pool, {lease, fence}, reply_for(key));
}

/// REQUIRES: the task has a place.
void Sender::send(const Key& key, Task& task, const LeaseGranted& granted) {
    const Duration left = task.expires_at - clock_.now();
    // It is taken up again by the next run.
    if (stopping_) return release(task);
    if (2 * left < task.ttl) return give_up(key, task, Outcome::given_up, task.delivery->last_error);
    const auto callback = wire::parse_callback(*task.delivery->callback);
    auto receiver = callback ? parse_receiver(callback->url) : tl::unexpected(callback.error());
    const auto keys = callback ? parse_secret(callback->secret) : tl::unexpected(callback.error());
    const auto options = this->options();
    if (!receiver || !keys) return give_up(key, task, Outcome::given_up, "it cannot be read");
    // The list may be another one than when it was taken.
    if (const auto allowed = options->allowed.check(*receiver); !allowed)
        return end_attempt(key, task,
                           {.error = "this server may not call that host: --callback-allow names others"});
    const Duration limit = std::clamp(left, Duration(std::chrono::milliseconds(1)), patience_.attempt);
    task.attempt =
        std::make_unique<Attempt>(options, *callback, std::move(*receiver), *keys,
                                  Attempt::Message{message_id(granted.lease.id, granted.lease.fence),
                                                   unix_now(), body_of(granted, clock_, *callback)},
                                  std::chrono::ceil<std::chrono::milliseconds>(limit));
    ++under_way_;
    curl_easy_setopt(task.attempt->handle(), CURLOPT_PRIVATE, static_cast<void*>(&*tasks_.find(key)));
    curl_multi_add_handle(multi_.get(), task.attempt->handle());
}

void Sender::take_results() {
    int left = 0;
    while (const CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode code = message->data.result;
        char* entry = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &entry);
        auto& [key, task] = *reinterpret_cast<Tasks::value_type*>(entry);
        end_attempt(key, task, task.attempt->result(code));
    }
}

/// REQUIRES: the task has a place.
void Sender::end_attempt(const Key& key, Task& task, const Attempt::Result& result) {
    if (task.attempt)
        lines_.at(task.receiver).standing = result.status == 0 ? Standing::silent : Standing::answering;
    if (result.is_success()) {
        // Also where the job was so quick that its lease is over already.
        count(Outcome::accepted);
        return end(key, task, {CallAccepted{}, Outcome::accepted, ""});
    }
    if (result.status == 410) return give_up(key, task, Outcome::gone, result.error);
    Delivery next = *task.delivery;
    ++next.attempts;
    next.last_error = result.error;
    const Duration asked = std::min(result.retry_after.value_or(std::chrono::seconds(0)), longest_asked);
    next.next_attempt = clock_.now() + std::max(pause_after(next.attempts), asked);
    if (2 * (task.expires_at - next.next_attempt) < task.ttl)
        return give_up(key, task, Outcome::given_up, result.error);
    end(key, task, {std::move(next), Outcome::put_off, result.error});
}

void Sender::give_up(const Key& key, Task& task, Outcome outcome, const std::string& error) {
    end(key, task,
        {CallGivenUp{}, outcome, error.empty() ? "less than half of the lease's time is left" : error});
}

void Sender::end(const Key& key, Task& task, End end) {
    release(task);
    task.end = std::move(end);
    store_end(key, task);
}

void Sender::store_end(const Key& key, Task& task) {
    const auto& [pool, lease, fence] = key;
    service_.end_attempt(pool, {lease, fence}, task.end->what, reply_for(key));
}

/// It was so: nobody has taken the lease over, or ended it, meanwhile.
void Sender::report(const Task& task, const End& end) {
    if (end.outcome == Outcome::accepted) return;
    count(end.outcome);
    if (end.outcome == Outcome::put_off) return;
    warn_("the callback to " + task.receiver +
          (task.pool_name.empty() ? "" : " for a slot of '" + task.pool_name + "'") +
          (end.outcome == Outcome::no_turn ? " was not made" : " failed") +
          ", and its lease was given back: " + end.error);
}

Duration Sender::pause_after(unsigned attempts) {
    Duration pause = patience_.first_pause;
    for (unsigned i = 1; i < attempts && pause < patience_.longest_pause; ++i)
        pause *= 2;
    pause = std::min(pause, patience_.longest_pause);
    return pause * std::uniform_int_distribution<int>(75, 125)(random_) / 100;
}

std::chrono::milliseconds Sender::time_to_next() const {
    if (stopping_) return std::chrono::milliseconds(20);
    const TimePoint now = clock_.now();
    Duration sleep = std::min<Duration>(longest_sleep, std::min(find_at_, begin_at_) - now);
    if (!wakes_.empty()) sleep = std::min(sleep, wakes_.begin()->first - now);
    return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(sleep), std::chrono::milliseconds(0),
                      longest_sleep);
}

void Sender::write_metrics(MetricsText& text) const {
    text.begin("sema_callbacks_total", MetricsText::Kind::counter,
               "Attempts to call borrowers, by what came of them.");
    constexpr std::array names = {"accepted", "retried", "given_up", "gone", "no_turn"};
    for (std::size_t i = 0; i < names.size(); ++i)
        text.add({{"result", names[i]}}, outcomes_[i].value());
    text.begin("sema_callbacks_pending", MetricsText::Kind::gauge,
               "Leases whose borrowers this server has yet to call.");
    text.add({}, pending_.load());
}

}  // namespace sema::callback
