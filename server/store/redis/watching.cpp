#include "server/store/redis/redis_engine.hpp"
#include "server/store/redis/scripts.hpp"
#include "server/store/shared/fields.hpp"
#include "server/store/shared/waiting.hpp"

#include <algorithm>
#include <cstdio>

// What the watch does over connections of its own.
namespace sema::redis {
namespace {

// A subscriber that is sent nothing for so many beats, not even the answer to a PING, is no longer connected.
constexpr unsigned silent_beats_limit = 4;

constexpr std::string_view server_key_start = "sema:server:";
constexpr std::string_view format_key = "sema:format";
constexpr std::string_view format = "1";

Result<void> check_version(const Reply& info) {
    // Where the user may not ask for the version, it is taken to be a fitting one.
    constexpr std::string_view label = "redis_version:";
    const std::string_view text = info.text().value_or("");
    const auto at = text.find(label);
    if (at == text.npos) return {};
    const std::string version(text.substr(at + label.size(), text.find('\r', at) - at - label.size()));
    unsigned major = 0;
    unsigned minor = 0;
    if (std::sscanf(version.c_str(), "%u.%u", &major, &minor) == 2 &&
        (major < 6 || (major == 6 && minor < 2)))
        return trouble("it is Redis " + version + ": use 6.2 or later", Trouble::Kind::lasting);
    return {};
}

// A pool as commit.lua passes it on: the hash's texts, each with its length before.
std::optional<LoadResult> read_texts(std::string_view rest) {
    std::vector<std::string_view> texts;
    while (!rest.empty()) {
        const auto colon = rest.find(':');
        const auto size = parse_number<std::size_t>(rest.substr(0, colon));
        if (colon == rest.npos || !size || *size > rest.size() - colon - 1) return std::nullopt;
        texts.push_back(rest.substr(colon + 1, *size));
        rest.remove_prefix(colon + 1 + *size);
    }
    shared::PoolFields fields;
    std::optional<Version> version;
    for (std::size_t i = 0; i + 1 < texts.size(); i += 2) {
        if (texts[i] == "v") {
            version = parse_number<Version>(texts[i + 1]);
        } else if (texts[i] != "r" && texts[i] != "b" && texts[i] != "g" &&
                   !fields.take(texts[i], texts[i + 1])) {
            return std::nullopt;
        }
    }
    if (!version) return std::nullopt;
    return std::move(fields).result(*version);
}

void pass_on(const Reply& message, shared::Announcements& to) {
    if (message.size() != 3 || message[0].text() != "message") return;
    const std::string_view channel = message[1].text().value_or("");
    const std::string_view text = message[2].text().value_or("");
    if (channel == servers_channel) {
        if (const auto server = parse_server(text)) to.ended(*server);
        return;
    }
    if (channel.starts_with(server_key_start)) {
        const auto pool = PoolId::parse(text.substr(0, text.find(' ')));
        const auto state = read_texts(text.substr(std::min(text.size(), text.find(' ') + 1)));
        if (pool && state) to.handed(*pool, *state);
        return;
    }
    // A pool's key is its id between braces.
    const auto brace = channel.find('{');
    const auto space = text.find(' ');
    if (brace == channel.npos || space == text.npos) return;
    const auto pool = PoolId::parse(channel.substr(brace + 1, channel.size() - brace - 2));
    const auto version = parse_number<Version>(text.substr(0, space));
    const auto server = parse_server(text.substr(space + 1));
    if (pool && version && server) to.changed(*pool, *version, *server);
}

}  // namespace

std::string key_of(const PoolId& pool) {
    return "sema:{" + pool.str() + "}";
}

std::string key_of(ServerId server) {
    return std::string(server_key_start) + text_of(server);
}

std::optional<ServerId> parse_server(std::string_view text) {
    const auto number = parse_number<std::uint64_t>(text, 16);
    if (!number) return std::nullopt;
    return ServerId{*number};
}

// All answers; trouble where one of them is an error.
Result<std::vector<Reply>> RedisEngine::ask(const Commands& commands) {
    auto replies = main_.exchange(commands, from_now(options_.answer_limit));
    if (!replies) return trouble(replies.error().message);
    for (const Reply& reply : *replies) {
        if (const auto error = reply.error()) return tl::unexpected(explain(*error));
    }
    return *std::move(replies);
}

Result<void> RedisEngine::connect() {
    main_.close();
    subscriber_.close();
    subscribed_ = false;
    is_registered_ = false;
    const auto endpoint = finder_.find();
    if (!endpoint) return tl::unexpected(endpoint.error());
    // The scripts too: without them it is of no use.
    const auto logged_in = log_in(main_, *endpoint, options_, {commit_script, reload_script});
    if (!logged_in) return tl::unexpected(logged_in.error());
    auto done = prepare();
    if (!done) main_.close();
    const MutexLock lock(mutex_);
    endpoint_ = main_.endpoint();
    return done;
}

Result<void> RedisEngine::prepare() {
    Commands commands;
    commands.add({"ROLE"}).add({"INFO", "server"});
    // Before the others: what a replica says of them is beside the point.
    const auto first = main_.exchange(commands, from_now(options_.answer_limit));
    if (!first) return trouble(first.error().message);
    if (auto right = check_role((*first)[0], 0); !right) return right;
    if (auto right = check_version((*first)[1]); !right) return right;
    commands.clear();
    commands.add({"SET", format_key, format, "NX"}).add({"GET", format_key});
    // For no replica, which takes no time.
    if (options_.wait_replicas > 0) commands.add({"WAIT", "0", "0"});
    const auto replies = ask(commands);
    if (!replies) return tl::unexpected(replies.error());
    const auto found = (*replies)[1].text();
    if (found == format) return {};
    return trouble("what it holds is of format " + std::string(found.value_or("?")) +
                       " and this semad knows format " + std::string(format) +
                       ": use the semad that wrote it, or name another database",
                   Trouble::Kind::lasting);
}

Result<shared::Pulse> RedisEngine::beat(const shared::Beat& beat) {
    const auto failed = [&](Trouble why) {
        main_.close();
        return tl::unexpected<Trouble>(std::move(why));
    };
    Commands commands;
    const std::string life = std::to_string(shared::heartbeat_life.count());
    // A Redis whose memory is full takes nothing new.
    if (is_registered_) {
        commands.add({"PEXPIRE", key_of(self()), life});
    } else {
        commands.add({"SET", key_of(self()), "1", "PX", life});
    }
    const std::string expected = beat.expected ? std::to_string(beat.expected->count()) : "";
    // Not by its hash: Redis may have dropped the script (SCRIPT FLUSH).
    commands.add({"EVAL", clock_read_script, "0", expected, std::to_string(beat.epoch), format});
    commands.add({"ROLE"});
    if (!beat.neighbours.empty()) {
        commands.begin(1 + beat.neighbours.size()).word("MGET");
        for (const ServerId server : beat.neighbours)
            commands.word(key_of(server));
    }
    const auto replies = ask(commands);
    if (!replies) return failed(replies.error());
    if (const auto right = check_role((*replies)[2], 0); !right) return failed(right.error());
    is_registered_ = (*replies)[0].integer() != 0;

    shared::Pulse pulse;
    const Reply& clock = (*replies)[1];
    std::vector<std::optional<std::int64_t>> numbers;
    for (std::size_t i = 0; i < clock.size(); ++i)
        numbers.push_back(parse_number<std::int64_t>(clock[i].text().value_or("")));
    if (numbers.size() != 5 || !numbers[0] || !numbers[1] || !numbers[2] || !numbers[3])
        return failed({"its clock gives no time"});
    pulse.clock.wall = std::chrono::seconds(*numbers[0]) + Duration(*numbers[1]);
    pulse.clock.offset = Duration(*numbers[2]);
    pulse.clock.epoch = static_cast<std::uint64_t>(*numbers[3]);
    if (numbers[4]) pulse.clock.seen = Duration(*numbers[4]);
    if (const auto right = check_role((*replies)[2], options_.wait_replicas); !right)
        pulse.shortage = right.error();
    for (std::size_t i = 0; !beat.neighbours.empty() && i < replies->back().size(); ++i)
        pulse.alive.push_back(!replies->back()[i].is_nil());

    if (subscribed_ && ++silent_beats_ > silent_beats_limit) subscriber_.close();
    send_to_subscriber({"PING"});
    return pulse;
}

Result<void> RedisEngine::correct_clock(std::uint64_t epoch, Duration timeline, std::uint64_t next) {
    Commands commands;
    commands.add({"EVAL", clock_correct_script, "0", std::to_string(epoch), std::to_string(timeline.count()),
                  std::to_string(next)});
    const auto replies = ask(commands);
    if (replies) return {};
    main_.close();
    return tl::unexpected(replies.error());
}

Result<void> RedisEngine::subscribe(const std::vector<PoolId>& pools) {
    subscribed_ = false;
    const auto logged_in = log_in(subscriber_, main_.endpoint(), options_, {});
    if (!logged_in) return tl::unexpected(logged_in.error());
    Commands commands;
    commands.begin(3 + pools.size()).word("SUBSCRIBE").word(servers_channel).word(key_of(self()));
    for (const PoolId& pool : pools)
        commands.word(key_of(pool));
    // Its answer, of two words, comes behind all the others.
    commands.add({"PING"});
    const Deadline deadline = from_now(options_.answer_limit);
    std::string failed;
    if (const auto sent = subscriber_.send(commands, deadline); !sent) failed = sent.error().message;
    while (failed.empty() && !subscribed_) {
        const auto reply = subscriber_.receive(deadline);
        if (!reply) {
            failed = reply.error().message;
        } else if (!*reply) {
            failed = "no answer in time";
        } else if (const auto error = (*reply)->error()) {
            failed = explain(*error).why;
        } else {
            subscribed_ = (*reply)->size() == 2;
        }
    }
    if (subscribed_) {
        silent_beats_ = 0;
        return {};
    }
    subscriber_.close();
    return trouble("cannot subscribe: " + failed);
}

void RedisEngine::send_to_subscriber(std::initializer_list<std::string_view> words) {
    Commands commands;
    commands.add(words);
    // Where that fails, wait() finds it closed.
    if (subscribed_) (void)subscriber_.send(commands, from_now(options_.answer_limit));
}

void RedisEngine::follow(const PoolId& pool) {
    send_to_subscriber({"SUBSCRIBE", key_of(pool)});
}

void RedisEngine::unfollow(const PoolId& pool) {
    send_to_subscriber({"UNSUBSCRIBE", key_of(pool)});
}

bool RedisEngine::wait(Duration until, shared::Announcements& to) {
    const auto take = [&]() -> std::optional<bool> {
        if (!subscribed_) return false;
        const auto message = subscriber_.receive(Deadline{});
        subscribed_ = message.has_value();
        if (!message) return std::nullopt;
        if (!*message) return false;
        silent_beats_ = 0;
        pass_on(**message, to);
        return true;
    };
    const shared::Source source{[this] { return subscriber_.descriptor(); }, take};
    return wait_for_announcements(*this, until, source, woken_, abandoned_);
}

}  // namespace sema::redis

namespace sema {

bool is_new_redis_store(const RedisStoreOptions& options) {
    redis::Connection connection;
    const auto master = redis::MasterFinder(options).find();
    if (!master || !redis::log_in(connection, *master, options, {})) return false;
    redis::Commands commands;
    commands.add({"ROLE"}).add({"INFO", "server"}).add({"GET", redis::format_key});
    const auto replies = connection.exchange(commands, redis::from_now(options.answer_limit));
    return replies && redis::check_role((*replies)[0], 0) && redis::check_version((*replies)[1]) &&
           (*replies)[2].is_nil();
}

}  // namespace sema
