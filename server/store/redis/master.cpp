#include "server/store/redis/master.hpp"

#include "server/store/shared/numbers.hpp"

#include <algorithm>
#include <utility>

namespace sema::redis {
namespace {

// One Sentinel that is down must not keep the others from being asked soon.
constexpr std::chrono::milliseconds sentinel_limit{300};

bool starts_with(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
}

// Before Redis 7, the error of a script names the cause in its midst.
bool is_of_kind(std::string_view error, std::string_view word) {
    return starts_with(error, word) || error.find(std::string("-").append(word)) != error.npos;
}

}  // namespace

Trouble explain(std::string_view error) {
    // Redis quotes commands that it does not know, and may quote keys.
    for (const char* quote : {", with args", " with args", "sema:{"})
        error = error.substr(0, error.find(quote));
    const std::string quoted = "it says \"" + std::string(error) + "\"";
    const auto lasting = [&](const char* advice) {
        return Trouble{quoted + ": " + advice, Trouble::Kind::lasting};
    };
    if (starts_with(error, "NOAUTH"))
        return lasting("give the password with --redis-password-file or SEMAD_REDIS_PASSWORD");
    if (starts_with(error, "WRONGPASS") || starts_with(error, "ERR AUTH") ||
        starts_with(error, "ERR invalid password") || starts_with(error, "ERR Client sent AUTH"))
        return lasting("check the user and the password");
    if (starts_with(error, "NOPERM")) return lasting("let this user do it (ACL SETUSER)");
    if (starts_with(error, "ERR unknown command") || starts_with(error, "ERR unknown subcommand") ||
        starts_with(error, "ERR Unknown subcommand"))
        return lasting("semad needs that command: allow it (rename-command), or give semad another Redis");
    if (starts_with(error, "ERR DB index")) return lasting("name a database that there is");
    if (is_of_kind(error, "MOVED") || is_of_kind(error, "CLUSTERDOWN"))
        return lasting(
            "it is a part of a Redis Cluster, which semad cannot use: give it a Redis of its own, "
            "with Sentinel for when that fails");
    if (starts_with(error, "LOADING")) return {"it is still loading its data"};
    if (error.find("OOM ") != error.npos) return {quoted + ": raise its maxmemory"};
    if (error.find("MISCONF") != error.npos) return {quoted + ": check its disk and its log"};
    return {quoted};
}

bool is_about_server(std::string_view error) {
    // Not OOM: a server whose memory is full can be read. Where it takes no writes for another reason, the
    // heartbeat fails.
    for (const char* word : {"READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "NOPERM", "BUSY", "UNKILLABLE",
                             "CLUSTERDOWN", "MOVED"}) {
        if (is_of_kind(error, word)) return true;
    }
    return false;
}

Result<void> check_role(const Reply& role, unsigned replicas) {
    if (const auto error = role.error()) return tl::unexpected(explain(*error));
    if (role.size() < 3 || !role[0].text()) return trouble("it did not tell its role");
    if (*role[0].text() != "master") return trouble("it is a replica at the moment, and takes no changes");
    if (role[2].size() < replicas) {
        return trouble("it has " + std::to_string(role[2].size()) + " of the " + std::to_string(replicas) +
                           " replicas that --redis-wait-replicas wants: start the others",
                       Trouble::Kind::unsafe);
    }
    return {};
}

Result<std::vector<std::string>> log_in(Connection& connection, const Endpoint& endpoint,
                                        const RedisStoreOptions& options,
                                        std::initializer_list<const char*> scripts) {
    const Deadline deadline = from_now(std::max(connect_limit, options.answer_limit / 2));
    const auto failed = [&](const std::string& why) {
        const bool distrusts = why.find("certificate") != why.npos;
        return trouble("cannot connect to " + describe(endpoint) + ": " + why,
                       distrusts ? Trouble::Kind::lasting : Trouble::Kind::away);
    };
    if (auto opened = connection.open(endpoint, deadline); !opened) return failed(opened.error().message);
    Commands commands;
    const RedisAddress& address = options.address;
    if (!address.user.empty()) {
        commands.add({"AUTH", address.user, address.password});
    } else if (!address.password.empty()) {
        commands.add({"AUTH", address.password});
    }
    commands.add({"SELECT", std::to_string(address.database)});
    const std::size_t before_scripts = commands.count();
    for (const char* script : scripts)
        commands.add({"SCRIPT", "LOAD", script});
    auto replies = connection.exchange(commands, deadline);
    if (!replies) return failed(replies.error().message);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < replies->size(); ++i) {
        const Reply& reply = (*replies)[i];
        if (const auto error = reply.error()) {
            Trouble reason = explain(*error);
            connection.close();
            return trouble(describe(endpoint) + ": " + reason.why, reason.kind);
        }
        if (i >= before_scripts) names.emplace_back(reply.text().value_or(""));
    }
    return names;
}

Result<Endpoint> MasterFinder::find() {
    const RedisAddress& address = options_.address;
    if (address.way != RedisAddress::Way::sentinel) {
        const HostPort place = address.hosts.empty() ? HostPort{} : address.hosts.front();
        return Endpoint{address.way, place, address.path, place.host, address.ca_file};
    }
    std::string reasons;
    for (std::size_t i = 0; i < address.hosts.size(); ++i) {
        const std::size_t index = (first_ + i) % address.hosts.size();
        auto answer = ask(address.hosts[index]);
        if (answer) {
            first_ = index;
            return answer;
        }
        reasons += (i == 0 ? "" : "; ") + answer.error().why;
    }
    return trouble("no Sentinel told where the master is: " + reasons);
}

Result<Endpoint> MasterFinder::ask(const HostPort& sentinel) {
    const auto failed = [&](const std::string& why) {
        return trouble("Sentinel " + describe(sentinel) + ": " + why);
    };
    const Deadline deadline = from_now(sentinel_limit);
    Connection connection(abandoned_);
    if (auto opened = connection.open({.place = sentinel}, deadline); !opened)
        return failed(opened.error().message);
    Commands commands;
    if (!options_.sentinel_password.empty()) commands.add({"AUTH", options_.sentinel_password});
    commands.add({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", options_.address.master});
    const auto replies = connection.exchange(commands, deadline);
    if (!replies) return failed(replies.error().message);
    for (const Reply& reply : *replies) {
        if (const auto error = reply.error()) return failed(explain(*error).why);
    }
    const Reply& place = replies->back();
    if (place.is_nil()) return failed("it knows no master called " + options_.address.master);
    std::uint16_t port = 0;
    if (place.size() == 2)
        port = shared::parse_number<std::uint16_t>(place[1].text().value_or("")).value_or(0);
    if (port == 0 || !place[0].text()) return failed("it gave no address");
    return Endpoint{.place = {std::string(*place[0].text()), port}};
}

}  // namespace sema::redis
