#include "client/library/engine.hpp"

#include "client/signals_blocked.hpp"
#include "common/version.hpp"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <new>
#include <set>
#include <string>
#include <system_error>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How many calls that wait for nothing but their answer are under way at a time: enough to keep a server busy
// that commits in groups. An eighth of the process's descriptors at most.
constexpr std::size_t most_usual_calls = 128;
// Connections that are kept for the next calls: those of a pool in which as many wait as may, and of the
// usual calls beside them. A smaller number has a busy client connect anew for every second call. Half of the
// descriptors at most.
constexpr std::size_t most_idle_connections = 512;
constexpr std::size_t most_idle_handles = 512;

std::size_t descriptors_of_process() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<std::size_t>(limit.rlim_cur);
}

// How many there are not of the descriptors that a call takes: its own, and for a moment those by which a
// name is looked up.
std::size_t missing_descriptors() {
    std::array<int, 4> taken{-1, -1, -1, -1};
    std::size_t missing = taken.size();
    for (int& fd : taken) {
        fd = eventfd(0, EFD_CLOEXEC);
        if (fd < 0) break;
        --missing;
    }
    for (const int fd : taken)
        if (fd >= 0) close(fd);
    return missing;
}

}  // namespace

Engine::Engine(std::vector<ServerAddress> servers)
    : servers_{.list = std::move(servers)},
      descriptors_(descriptors_of_process()),
      multi_(curl_multi_init()),
      per_server_(servers_.list.size()) {
    if (!multi_) throw std::bad_alloc();
    // libcurl makes one also where it gets no descriptors to wake it up by, and a job would wait for the next
    // answer or timer then.
    if (curl_multi_wakeup(multi_) != CURLM_OK) {
        curl_multi_cleanup(multi_);
        throw std::system_error(EMFILE, std::generic_category(), "a client's descriptors");
    }
    const std::size_t idle = std::clamp<std::size_t>(descriptors_ / 2, 1, most_idle_connections);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(idle));
}

Engine::~Engine() {
    if (multi_ != nullptr) curl_multi_cleanup(multi_);
}

void Engine::begin() {
    const SignalsBlocked blocked;
    thread_ = std::make_unique<std::thread>([this] { run(); });
}

bool Engine::post(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return false;
    jobs_.push_back(std::move(job));
    // Under the lock: the last run_jobs() takes it before the handle goes.
    if (jobs_.size() == 1) curl_multi_wakeup(multi_);
    return true;
}

void Engine::run() {
    id_ = std::this_thread::get_id();
    while (!is_finishing_) {
        run_jobs();
        // An answer that lay there while this process was stopped is read before its absence is judged.
        run_transfers();
        run_timers();
        if (!is_finishing_) wait();
    }
    end();
}

void Engine::run_jobs() {
    std::vector<std::function<void()>> jobs;
    {
        const std::lock_guard lock(mutex_);
        jobs.swap(jobs_);
        // A job that leaves another one each time it is refused would keep the thread for ever.
        is_closed_ = is_finishing_;
    }
    for (auto& job : jobs) {
        job();
        job = nullptr;
    }
}

void Engine::run_timers() {
    const Moment now = BootClock::now();
    while (!timers_.empty() && timers_.begin()->first.when <= now) {
        const auto timer = timers_.extract(timers_.begin());
        timer.mapped()();
    }
}

void Engine::run_transfers() {
    int running = 0;
    has_interrupted_ = false;
    curl_multi_perform(multi_, &running);
    int queued = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode code = message->data.result;
        const auto found = tickets_.find(message->easy_handle);
        if (found != tickets_.end()) take_in(found->second, code);
    }
}

// Jobs that are left until then are done, and may make calls, which come to nothing.
void Engine::end() {
    run_jobs();
    while (!calls_.empty()) {
        Entry entry = std::move(calls_.begin()->second);
        calls_.erase(calls_.begin());
        if (entry.transfer) take_off(entry);
        entry.errand->give_up();
    }
    timers_.clear();
    per_server_.clear();
    curl_multi_cleanup(multi_);
    multi_ = nullptr;
}

void Engine::wait() {
    const Moment next = timers_.empty() ? BootClock::never : timers_.begin()->first.when;
    Duration longest = longest_duration;
    // The timer may have fired, and must not wake the thread again.
    if (next != alarm_at_ || next <= BootClock::now() || alarm_.fd() < 0) longest = alarm_.set(next);
    alarm_at_ = next;
    curl_waitfd wake{alarm_.fd(), CURL_WAIT_POLLIN, 0};
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(longest, 1h));
    curl_multi_poll(multi_, &wake, wake.fd >= 0 ? 1U : 0U, static_cast<int>(ms.count()), nullptr);
}

Engine::Ticket Engine::start(std::unique_ptr<Errand> errand, Urgency urgency) {
    const Ticket ticket = ++last_ticket_;
    Entry& entry = calls_.emplace(ticket, Entry{std::move(errand), urgency}).first->second;
    if (urgency != Urgency::usual) {
        send(ticket, entry);
    } else {
        waiting_.push_back(ticket);
        send_waiting();
    }
    return ticket;
}

void Engine::send_waiting() {
    const std::size_t most = std::clamp<std::size_t>(descriptors_ / 8, 1, most_usual_calls);
    while (!waiting_.empty() && usual_under_way_ < most) {
        const Ticket ticket = waiting_.front();
        waiting_.pop_front();
        const auto found = calls_.find(ticket);
        if (found == calls_.end()) continue;
        ++usual_under_way_;
        send(ticket, found->second);
    }
}

void Engine::send(Ticket ticket, Entry& entry) {
    entry.server = entry.errand->server();
    auto& [idle, looks_up_next] = per_server_[entry.server];
    if (idle.empty()) {
        entry.transfer = std::make_unique<Transfer>(servers_.list[entry.server]);
    } else {
        entry.transfer = std::move(idle.back());
        idle.pop_back();
    }
    if (std::exchange(looks_up_next, false)) entry.transfer->look_up_next();
    entry.transfer->prepare(entry.errand->request());
    CURL* const handle = entry.transfer->handle();
    curl_easy_setopt(handle, CURLOPT_USERAGENT, (std::string("libsema/") + sema::version).c_str());
    tickets_[handle] = ticket;
    curl_multi_add_handle(multi_, handle);
}

std::unique_ptr<Transfer> Engine::take_off(Entry& entry) {
    tickets_.erase(entry.transfer->handle());
    // Closes the connection of one that is not done.
    curl_multi_remove_handle(multi_, entry.transfer->handle());
    return std::move(entry.transfer);
}

void Engine::keep(std::unique_ptr<Transfer> transfer, std::size_t server) {
    auto& idle = per_server_[server].idle;
    if (idle.size() < most_idle_handles) idle.push_back(std::move(transfer));
}

void Engine::take_in(Ticket ticket, CURLcode code) {
    const auto found = calls_.find(ticket);
    // What the answer brings about may add calls, and drop this one.
    Entry entry = std::move(found->second);
    calls_.erase(found);
    auto transfer = take_off(entry);
    Exchange exchange = transfer->outcome(code, /*has_left=*/false);
    const bool looks_up_next = transfer->looks_up_next();
    keep(std::move(transfer), entry.server);
    const auto* why = std::get_if<Unreachable>(&exchange);
    if (why != nullptr && !why->may_be_done && send_in_place_of_others(ticket, entry)) return;
    per_server_[entry.server].looks_up_next = looks_up_next;
    const bool is_done = entry.errand->take(std::move(exchange));
    if (!is_done) {
        send(ticket, calls_.emplace(ticket, std::move(entry)).first->second);
        return;
    }
    if (entry.urgency == Urgency::usual) --usual_under_way_;
    send_waiting();
}

bool Engine::send_in_place_of_others(Ticket ticket, Entry& entry) {
    if (entry.urgency == Urgency::waiting) return false;
    // Those that have waited for the longest time, since one that is new may have no connection yet.
    std::set<Ticket> others;
    if (const std::size_t missing = missing_descriptors(); missing > 0) {
        for (const auto& [other, waiting] : calls_) {
            if (waiting.urgency == Urgency::waiting) others.insert(other);
            if (others.size() > missing) others.erase(std::prev(others.end()));
        }
    }
    if (others.empty() && !has_interrupted_) return false;
    has_interrupted_ = true;
    std::vector<Entry> interrupted;
    for (const Ticket other : others) {
        interrupted.push_back(std::move(calls_.extract(other).mapped()));
        keep(take_off(interrupted.back()), interrupted.back().server);
    }
    send(ticket, calls_.emplace(ticket, std::move(entry)).first->second);
    for (const Entry& other : interrupted)
        other.errand->interrupt();
    return true;
}

void Engine::drop(Ticket ticket) {
    const auto found = calls_.find(ticket);
    if (found == calls_.end()) return;
    Entry entry = std::move(found->second);
    calls_.erase(found);
    if (!entry.transfer) return;
    keep(take_off(entry), entry.server);
    if (entry.urgency == Urgency::usual) --usual_under_way_;
    send_waiting();
}

Engine::Timer Engine::at(Moment when, std::function<void()> function) {
    const Timer timer{when, ++last_timer_};
    timers_.emplace(timer, std::move(function));
    return timer;
}

}  // namespace sema
