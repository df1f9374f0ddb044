#include "server/store/redis/watch.hpp"

#include "server/store/redis/rows.hpp"
#include "server/store/redis/scripts.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <random>
#include <utility>

namespace sema::redis {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

// A server counts as lost at most 2.8 s after its death: its key lives for 1 s, is looked for 4 times a
// second, and has to be missing for 1.5 s, which a server that was slow or whose store was away makes good
// in time.
constexpr auto tick_time = 250ms;
constexpr std::string_view heartbeat_life_ms = "1000";
constexpr Duration missing_limit = 1500ms;
// Somebody else may have taken us for missing after that, and messages may be lost.
constexpr Duration own_gap_limit = 900ms;
// A subscriber that is sent nothing for so many ticks, not even the answer to a PING, is no longer connected.
constexpr unsigned silent_ticks_limit = 4;
// Where nobody has seen the store's clock right for so long, there is nobody else, or somebody is about to
// take a step of it back: within four ticks or so.
constexpr Duration doubt_limit = 1s;
constexpr auto doubt_time = ClockEstimate::doubt_time + 700ms;
constexpr auto look_time = 150ms;
// Whose time stands still since it was ahead by more cannot change anything.
constexpr Duration most_ahead = 1s;
constexpr auto first_look_limit = 3s;
// A server that nobody has asked about for so long, and that is lost, is watched no longer.
constexpr Duration neighbour_memory = 10min;

constexpr std::string_view format_key = "sema:format";
constexpr std::string_view format = "1";
constexpr std::string_view servers_channel = "sema:servers";
constexpr std::string_view pool_channel_start = "sema:{";

std::uint64_t random_number() {
    std::random_device entropy;
    return std::uint64_t{entropy()} << 32 | entropy();
}

std::string key_of(ServerId server) {
    return "sema:server:" + hex(static_cast<std::uint64_t>(server));
}

std::optional<ServerId> parse_server(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return ServerId{number};
}

std::string channel_of(const PoolId& pool) {
    return std::string(pool_channel_start) + pool.str() + "}";
}

std::optional<PoolId> pool_of(std::string_view channel) {
    if (channel.size() <= pool_channel_start.size() + 1) return std::nullopt;
    channel.remove_prefix(pool_channel_start.size());
    channel.remove_suffix(1);
    return PoolId::parse(channel);
}

// The first error among the answers.
Outcome<void> check(const std::vector<Reply>& replies) {
    for (const Reply& reply : replies) {
        if (const auto error = reply.error()) return tl::unexpected(explain(*error));
    }
    return {};
}

}  // namespace

Duration boot_time() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return std::chrono::duration_cast<Duration>(std::chrono::seconds(time.tv_sec) +
                                                std::chrono::nanoseconds(time.tv_nsec));
}

Watch::Watch(const RedisStoreOptions& options)
    : options_(options),
      self_(ServerId{std::max<std::uint64_t>(1, random_number())}),
      heartbeat_key_(key_of(self_)) {}

Watch::~Watch() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    abandoned_ = true;
    post([] {});
    thread_.join();
}

Outcome<void> Watch::start() {
    const Deadline end = SteadyClock::now() + first_look_limit;
    for (;;) {
        const auto looked = look();
        if (looked || looked.error().lacks_replicas) break;
        if (looked.error().lasting || SteadyClock::now() + look_time >= end) return looked;
        wait_until(SteadyClock::now() + look_time);
    }
    if (clock_is_doubtful_) {
        wait_until(SteadyClock::now() + doubt_time);
        clock_ = {};
    }
    // The second time tells those who come later that the clock was right. Where it fails, the thread goes on
    // with that.
    (void)tick();
    thread_ = std::thread([this] { run(); });
    return {};
}

void Watch::listen(StoreListener* listener) {
    const MutexLock lock(listener_mutex_);
    listener_ = listener;
}

void Watch::follow(const PoolId& pool) {
    {
        const MutexLock lock(mutex_);
        if (!followed_.insert(pool).second) return;
    }
    post([this, pool] { send_to_subscriber({"SUBSCRIBE", channel_of(pool)}); });
}

void Watch::unfollow(const PoolId& pool) {
    {
        const MutexLock lock(mutex_);
        if (followed_.erase(pool) == 0) return;
    }
    post([this, pool] { send_to_subscriber({"UNSUBSCRIBE", channel_of(pool)}); });
}

bool Watch::is_lost(ServerId server) {
    if (server == ServerId{}) return true;
    if (server == self_) return false;
    const MutexLock lock(mutex_);
    Neighbour& neighbour = neighbours_[server];
    neighbour.asked_at = boot_time();
    return neighbour.lost;
}

TimePoint Watch::now() const {
    const Duration::rep now = (boot_time() + Duration(lead_)).count();
    Duration::rep latest = latest_now_;
    while (now > latest && !latest_now_.compare_exchange_weak(latest, now)) {
    }
    return TimePoint(Duration(std::max(now, latest)));
}

Duration Watch::unix_time(TimePoint point) const {
    return point.time_since_epoch() - Duration(offset_);
}

Endpoint Watch::endpoint() const {
    const MutexLock lock(mutex_);
    return endpoint_;
}

std::string Watch::reason() const {
    const MutexLock lock(mutex_);
    return reason_;
}

void Watch::went_away(const std::string& why) {
    {
        const MutexLock lock(mutex_);
        reason_ = why;
        look_again_ = true;
        reachable_ = false;
        ++generation_;
    }
    post([] {});
}

template <class Task>
void Watch::post(Task task) {
    boost::asio::post(io_, [this, task] {
        task();
        alarm_.cancel();
    });
}

template <class Call>
void Watch::tell(const Call& call) {
    const MutexLock lock(listener_mutex_);
    if (listener_) call(*listener_);
}

// Handles what comes in meanwhile. Returns early when there is something to do.
void Watch::wait_until(Deadline deadline) {
    bool over = false;
    alarm_.expires_at(deadline);
    alarm_.async_wait([&](const boost::system::error_code&) { over = true; });
    io_.restart();
    while (!over)
        io_.run_one();
}

template <class Condition>
bool Watch::run_until(const Condition& condition, Deadline deadline) {
    io_.restart();
    while (!condition()) {
        if (SteadyClock::now() >= deadline || abandoned_) return false;
        if (io_.run_one_until(deadline) == 0) io_.restart();
    }
    return true;
}

void Watch::run() {
    while (!stopping_) {
        bool looks_again = false;
        {
            const MutexLock lock(mutex_);
            looks_again = look_again_;
        }
        if (looks_again || !main_.is_open()) {
            const bool found = look().has_value();
            if (!found && !stopping_) wait_until(SteadyClock::now() + look_time);
            if (found) tell([](StoreListener& listener) { listener.reached(); });
            continue;
        }
        const Deadline due = next_tick();
        if (subscribed_ && SteadyClock::now() < due) {
            wait_until(due);
            continue;
        }
        Outcome<void> done;
        if (!subscribed_) {
            done = subscribe();
            if (done) tell([](StoreListener& listener) { listener.reached(); });
        }
        if (done) done = tick();
        if (!done && !stopping_) {
            main_.close();
            went_away(done.error().why);
        }
    }
    say_farewell();
}

Deadline Watch::next_tick() const {
    const Deadline regular = last_tick_ + tick_time;
    if (!next_suspicion_) return regular;
    return std::min(regular, SteadyClock::now() + std::max(Duration::zero(), *next_suspicion_ - boot_time()));
}

// Leaves the connections open, and the store marked as reachable, where it succeeds.
Outcome<void> Watch::look() {
    {
        const MutexLock lock(mutex_);
        look_again_ = false;
    }
    auto found = look_further();
    const MutexLock lock(mutex_);
    // Somebody's connection failed once more meanwhile.
    if (found && look_again_) found = trouble(reason_);
    if (found) {
        endpoint_ = main_.endpoint();
        ++generation_;
        reachable_ = true;
    } else {
        reason_ = found.error().why;
        main_.close();
        look_again_ = true;
    }
    return found;
}

Outcome<void> Watch::look_further() {
    main_.close();
    auto endpoint = finder_.find();
    if (!endpoint) return tl::unexpected(endpoint.error());
    // The scripts too: without them it is of no use.
    const auto logged_in = log_in(main_, *endpoint, options_, {commit_script, reload_script});
    if (!logged_in) return tl::unexpected(logged_in.error());
    auto done = prepare();
    if (done) done = subscribe();
    // What was missed while the store was away proves nothing of the others.
    last_heartbeat_.reset();
    is_registered_ = false;
    if (done) done = tick();
    return done;
}

Outcome<void> Watch::prepare() {
    Commands commands;
    commands.add({"ROLE"});
    commands.add({"SET", format_key, format, "NX"});
    commands.add({"GET", format_key});
    commands.add({"INFO", "server"});
    // For no replica, which takes no time.
    if (options_.wait_replicas > 0) commands.add({"WAIT", "0", "0"});
    const auto replies = main_.exchange(commands, SteadyClock::now() + options_.answer_limit);
    if (!replies) return trouble(replies.error().message);
    // Before the others: what a replica says of them is beside the point.
    if (auto right = check_role((*replies)[0], 0); !right) return right;
    // Who may not ask for the version is trusted to have chosen a fitting one.
    if (const auto info = (*replies)[3].text()) {
        constexpr std::string_view label = "redis_version:";
        const auto at = info->find(label);
        const std::string_view text = at == info->npos ? "" : info->substr(at + label.size());
        const auto end = text.find('\r');
        const std::string_view version = text.substr(0, end);
        const auto dot = version.find('.');
        const auto major = parse_number<unsigned>(version.substr(0, dot));
        const std::string_view rest = dot == version.npos ? "" : version.substr(dot + 1);
        const auto minor = parse_number<unsigned>(rest.substr(0, rest.find('.')));
        if (major && minor && (*major < 6 || (*major == 6 && *minor < 2)))
            return trouble("it is Redis " + std::string(version) + ": use 6.2 or later", true);
    }
    for (std::size_t i = 1; i < replies->size(); ++i) {
        if (const auto error = (*replies)[i].error(); error && i != 3) return tl::unexpected(explain(*error));
    }
    const auto found = (*replies)[2].text();
    if (!found || *found != format) {
        return trouble("what it holds is of format " + std::string(found.value_or("?")) +
                           " and this semad knows format " + std::string(format) +
                           ": use the semad that wrote it, or name another database",
                       true);
    }
    return {};
}

// Returns once what is published from now on arrives.
Outcome<void> Watch::subscribe() {
    subscribed_ = false;
    subscriber_ = std::make_unique<Connection>(io_, &abandoned_);
    const auto logged_in = log_in(*subscriber_, main_.endpoint(), options_, {});
    if (!logged_in) return tl::unexpected(logged_in.error());
    std::vector<PoolId> pools;
    {
        const MutexLock lock(mutex_);
        pools.assign(followed_.begin(), followed_.end());
    }
    Commands commands;
    commands.begin(2 + pools.size()).word("SUBSCRIBE").word(servers_channel);
    for (const PoolId& pool : pools)
        commands.word(channel_of(pool));
    // Its answer comes behind all the others.
    commands.add({"PING"});
    bool settled = false;
    std::string failed;
    subscriber_->receive(
        [&](Reply reply) {
            if (const auto error = reply.error()) failed = explain(*error).why;
            if (reply.size() == 2) settled = true;
        },
        [&](const std::string& reason) { failed = reason; });
    subscriber_->send(commands.bytes());
    const bool in_time =
        run_until([&] { return settled || !failed.empty(); }, SteadyClock::now() + options_.answer_limit);
    if (!in_time || !failed.empty()) {
        subscriber_.reset();
        return trouble("cannot subscribe: " + (failed.empty() ? "no answer in time" : failed));
    }
    subscribed_ = true;
    silent_ticks_ = 0;
    subscriber_->receive([this](Reply reply) { take_message(reply); },
                         [this](const std::string&) {
                             subscribed_ = false;
                             alarm_.cancel();
                         });
    return {};
}

void Watch::send_to_subscriber(std::initializer_list<std::string_view> words) {
    if (!subscribed_) return;
    Commands commands;
    commands.add(words);
    subscriber_->send(commands.bytes());
}

Outcome<void> Watch::tick() {
    last_tick_ = SteadyClock::now();
    std::vector<ServerId> asked;
    {
        const MutexLock lock(mutex_);
        for (const auto& [server, neighbour] : neighbours_)
            asked.push_back(server);
    }
    Commands commands;
    // A Redis whose memory is full takes nothing new.
    if (is_registered_) {
        commands.add({"PEXPIRE", heartbeat_key_, heartbeat_life_ms});
    } else {
        commands.add({"SET", heartbeat_key_, "1", "PX", heartbeat_life_ms});
    }
    // What it should show: only then is it a witness for whoever comes after a step of it.
    std::string expected;
    if (!clock_.is_empty() && !clock_.is_in_doubt())
        expected = std::to_string((boot_time() + clock_.lead()).count());
    // Not by its name: Redis may have been told to forget it.
    commands.add({"EVAL", clock_read_script, "0", expected, std::to_string(clock_.epoch()), format});
    commands.add({"ROLE"});
    if (!asked.empty()) {
        commands.begin(1 + asked.size()).word("MGET");
        for (const ServerId server : asked)
            commands.word(key_of(server));
    }
    const Duration sent = boot_time();
    const auto replies = main_.exchange(commands, SteadyClock::now() + options_.answer_limit);
    const Duration received = boot_time();
    if (!replies) return trouble(replies.error().message);
    if (auto right = check(*replies); !right) return right;
    if (auto right = check_role((*replies)[2], 0); !right) return right;
    is_registered_ = (*replies)[0].integer() != 0;
    if (auto taken = take_clock((*replies)[1], sent, received); !taken) return taken;
    if (auto right = check_role((*replies)[2], options_.wait_replicas); !right) return right;

    const bool first = !last_heartbeat_;
    const bool gap = !first && received - *last_heartbeat_ > own_gap_limit;
    last_heartbeat_ = received;
    if (first || gap) {
        const MutexLock lock(mutex_);
        for (auto& [server, neighbour] : neighbours_)
            neighbour.missing_since.reset();
    }
    if (++silent_ticks_ > silent_ticks_limit) subscribed_ = false;
    send_to_subscriber({"PING"});
    next_suspicion_.reset();
    if (!asked.empty()) take_heartbeats(asked, replies->back(), received);
    if (gap) tell([](StoreListener& listener) { listener.reached(); });
    return {};
}

void Watch::take_heartbeats(const std::vector<ServerId>& asked, const Reply& answer, Duration now) {
    std::vector<ServerId> lost;
    {
        const MutexLock lock(mutex_);
        for (std::size_t i = 0; i < asked.size() && i < answer.size(); ++i) {
            const auto found = neighbours_.find(asked[i]);
            if (found == neighbours_.end()) continue;
            Neighbour& neighbour = found->second;
            if (!answer[i].is_nil()) {
                neighbour.lost = false;
                neighbour.missing_since.reset();
            } else if (neighbour.lost) {
                if (now - neighbour.asked_at > neighbour_memory) neighbours_.erase(found);
            } else if (!neighbour.missing_since) {
                neighbour.missing_since = now;
            } else if (now - *neighbour.missing_since >= missing_limit) {
                neighbour.lost = true;
                lost.push_back(asked[i]);
            }
        }
        for (const auto& [server, neighbour] : neighbours_) {
            if (neighbour.lost || !neighbour.missing_since) continue;
            const Duration then = *neighbour.missing_since + missing_limit;
            if (!next_suspicion_ || then < *next_suspicion_) next_suspicion_ = then;
        }
    }
    for (const ServerId server : lost)
        tell([&](StoreListener& listener) { listener.lost(server); });
}

Outcome<void> Watch::take_clock(const Reply& answer, Duration sent, Duration received) {
    const auto number = [&](std::size_t index) -> std::optional<std::int64_t> {
        if (answer.size() != 5 || !answer[index].text()) return std::nullopt;
        return parse_number<std::int64_t>(*answer[index].text());
    };
    const auto seconds = number(0);
    const auto microseconds = number(1);
    const auto offset = number(2);
    const auto epoch = number(3);
    if (!seconds || !microseconds || !offset || !epoch) return trouble("its clock gives no time");
    ClockSample sample{sent, received, std::chrono::seconds(*seconds) + Duration(*microseconds),
                       Duration(*offset), static_cast<std::uint64_t>(*epoch)};
    if (const auto seen = number(4)) sample.seen = Duration(*seen);
    if (clock_.is_empty())
        clock_is_doubtful_ = sample.seen && std::chrono::abs(sample.wall - *sample.seen) > doubt_limit;
    const auto correction = clock_.take(sample);
    lead_ = clock_.lead().count();
    offset_ = clock_.offset().count();
    if (correction) return correct_clock(sample.epoch, *correction);
    const Duration ahead = Duration(latest_now_) - (boot_time() + clock_.lead());
    if (ahead > most_ahead) {
        return trouble("this server took it to be " + std::to_string(ahead.count() / 1'000'000) +
                       " s later than it is, and waits for that to pass: start it again");
    }
    return {};
}

// Whether it was ours or another server's correction that was stored, the next sample brings it.
Outcome<void> Watch::correct_clock(std::uint64_t epoch, std::uint64_t next_epoch) {
    Commands commands;
    // Not how far the clock is off, since that may be another by the time that this arrives.
    const Duration timeline = boot_time() + clock_.lead();
    commands.add({"EVAL", clock_correct_script, "0", std::to_string(epoch), std::to_string(timeline.count()),
                  std::to_string(next_epoch)});
    const auto replies = main_.exchange(commands, SteadyClock::now() + options_.answer_limit);
    if (!replies) return trouble(replies.error().message);
    return check(*replies);
}

void Watch::take_message(const Reply& message) {
    silent_ticks_ = 0;
    if (message.size() != 3 || message[0].text() != "message") return;
    const auto channel = message[1].text();
    const auto text = message[2].text();
    if (!channel || !text) return;
    if (*channel == servers_channel) return take_farewell(*text);
    const auto space = text->find(' ');
    const auto pool = pool_of(*channel);
    const auto version = parse_number<Version>(text->substr(0, space));
    if (!pool || !version || space == text->npos) return;
    if (parse_server(text->substr(space + 1)) == self_) return;
    {
        const MutexLock lock(mutex_);
        if (followed_.count(*pool) == 0) return;
    }
    tell([&](StoreListener& listener) { listener.changed(*pool, *version); });
}

void Watch::take_farewell(std::string_view text) {
    const auto server = parse_server(text);
    if (!server || *server == self_) return;
    {
        const MutexLock lock(mutex_);
        const auto found = neighbours_.find(*server);
        if (found == neighbours_.end() || found->second.lost) return;
        found->second.lost = true;
    }
    tell([&](StoreListener& listener) { listener.lost(*server); });
}

void Watch::count_as_lost(std::string_view name) {
    const auto server = parse_server(name);
    const MutexLock lock(mutex_);
    if (server) neighbours_[*server].lost = true;
}

void Watch::say_farewell() {
    abandoned_ = false;
    if (!main_.is_open()) return;
    Commands commands;
    commands.add({"DEL", heartbeat_key_});
    commands.add({"PUBLISH", servers_channel, hex(static_cast<std::uint64_t>(self_))});
    // Where that fails, the others find out by themselves.
    (void)main_.exchange(commands, SteadyClock::now() + options_.answer_limit);
}

}  // namespace sema::redis
