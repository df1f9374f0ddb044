#include "server/store/redis/connection.hpp"
#include "server/store/redis/master.hpp"
#include "server/store/redis/redis_store.hpp"

#include <map>
#include <optional>

namespace sema {
namespace {

using redis::Reply;

/// Settings by their names; those that there are.
using Settings = std::map<std::string, std::string, std::less<>>;

// Nothing where the answer is no list of names and values: some services have no CONFIG, or not for every
// user.
std::optional<Settings> read_settings(const Reply& answer) {
    if (!answer.is_array()) return std::nullopt;
    Settings settings;
    for (std::size_t i = 0; i + 1 < answer.size(); i += 2)
        settings.emplace(answer[i].text().value_or(""), answer[i + 1].text().value_or(""));
    return settings;
}

void judge_disk(const Settings& settings, std::vector<std::string>& warnings) {
    const auto is = [&](const char* name, const char* value) {
        const auto found = settings.find(name);
        return found != settings.end() && found->second == value;
    };
    if (!is("appendonly", "yes")) {
        warnings.emplace_back(
            "the store keeps no log of changes: what was answered since its last snapshot is lost when Redis "
            "ends, so that a slot may be lent twice (set appendonly yes and appendfsync always)");
    } else if (!is("appendfsync", "always")) {
        warnings.emplace_back(
            "the store writes changes to its disk after they were answered: those of the last second or more "
            "are lost in a power cut, so that a slot may be lent twice (set appendfsync always)");
    }
    if (is("appendonly", "yes") && is("no-appendfsync-on-rewrite", "yes")) {
        warnings.emplace_back(
            "the store writes no change to its disk for as long as it saves a snapshot or rewrites its log: "
            "those of that time are lost in a power cut, so that a slot may be lent twice (set "
            "no-appendfsync-on-rewrite no)");
    }
}

void judge_memory(const Settings& settings, std::vector<std::string>& warnings) {
    const auto limit = settings.find("maxmemory");
    const auto policy = settings.find("maxmemory-policy");
    if (limit == settings.end() || limit->second == "0") return;
    if (policy == settings.end() || policy->second == "noeviction") return;
    warnings.push_back("the store may throw pools away when its memory is full (maxmemory-policy " +
                       policy->second + "): a slot may be lent twice then (set maxmemory-policy noeviction)");
}

void judge_replicas(const RedisStoreOptions& options, const Reply& role, std::vector<std::string>& warnings) {
    const bool fails_over = options.address.way == RedisAddress::Way::sentinel;
    if (fails_over && options.wait_replicas == 0) {
        warnings.emplace_back(
            "a replica that the Sentinels make the master may lack what was answered last, so that a slot "
            "may be lent twice (use --redis-wait-replicas with the number of replicas)");
    }
    const std::size_t replicas = role.size() > 2 ? role[2].size() : 0;
    if (replicas < options.wait_replicas) {
        warnings.push_back(
            "the store has " + std::to_string(replicas) + " of the " + std::to_string(options.wait_replicas) +
            " replicas that --redis-wait-replicas wants: until they are there, nothing is lent");
    }
}

}  // namespace

std::vector<std::string> redis_store_warnings(const RedisStoreOptions& options) {
    const auto unknown = [](const std::string& why) {
        return "what the store keeps when Redis ends could not be looked at: " + why +
               " (it should have appendonly yes, appendfsync always, maxmemory-policy noeviction)";
    };
    redis::Connection connection;
    const auto master = redis::MasterFinder(options).find();
    if (!master) return {unknown(master.error().why)};
    if (const auto in = redis::log_in(connection, *master, options, {}); !in)
        return {unknown(in.error().why)};
    redis::Commands commands;
    commands.add({"ROLE"});
    // All at once takes a pattern, since several names in one command take Redis 7.
    commands.add({"CONFIG", "GET", "*append*"});
    commands.add({"CONFIG", "GET", "maxmemory*"});
    const auto replies = connection.exchange(commands, redis::from_now(options.answer_limit));
    if (!replies) return {unknown(replies.error().message)};
    std::vector<std::string> warnings;
    const auto disk = read_settings((*replies)[1]);
    const auto memory = read_settings((*replies)[2]);
    if (disk && memory) {
        judge_disk(*disk, warnings);
        judge_memory(*memory, warnings);
    } else {
        warnings.push_back(unknown("CONFIG GET is not to be had there"));
    }
    judge_replicas(options, (*replies)[0], warnings);
    return warnings;
}

}  // namespace sema
