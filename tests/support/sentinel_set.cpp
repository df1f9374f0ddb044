#include "tests/support/sentinel_set.hpp"

#include <fstream>
#include <map>
#include <stdexcept>
#include <utility>

namespace sema::test {
namespace {

/// The value behind `NAME:` in what INFO says.
std::string value_of(const std::string& info, const std::string& name) {
    const auto at = info.find("\n" + name + ":");
    if (at == std::string::npos) return "";
    const auto begin = at + name.size() + 2;
    return info.substr(begin, info.find('\r', begin) - begin);
}

}  // namespace

Sentinel::Sentinel(const SentinelOptions& options, const SentinelOptions::Machine& machine,
                   const RedisServer& primary)
    : program_options_(machine.program) {
    std::filesystem::create_symlink(std::filesystem::canonical(find_engine(options.engine).value()),
                                    folder_.path() / "redis-server");
    const std::string set = SentinelSet::name;
    std::ofstream config(folder_.path() / "sentinel.conf");
    config << "port " << port() << "\nbind " << machine.address << "\nprotected-mode no\ndir "
           << folder_.path() << "\nunixsocket " << socket() << "\nsentinel monitor " << set << ' '
           << primary.address() << ' ' << primary.port() << " 2\nsentinel down-after-milliseconds " << set
           << ' ' << options.down_after.count() << "\nsentinel failover-timeout " << set << ' '
           << options.failover_timeout.count() << "\nsentinel parallel-syncs " << set << " 2\n";
    for (const std::string& line : options.sentinel_config)
        config << line << '\n';
    config.close();
    start();
}

void Sentinel::start() {
    program_ =
        std::make_unique<Program>(std::vector<std::string>{folder_.path() / "redis-server",
                                                           folder_.path() / "sentinel.conf", "--sentinel"},
                                  program_options_);
    const auto serves = [this] {
        try {
            return command({"PING"}) == std::vector<std::string>{"PONG"};
        } catch (const std::exception&) {
            return false;
        }
    };
    if (!eventually([&] { return program_->ended() || serves(); }) || program_->ended())
        throw std::runtime_error("a sentinel did not start; it wrote: " + log());
    // They look for each other, and for replicas, every 2 and 10 s, which is long for a test.
    command({"SENTINEL", "DEBUG", "INFO-PERIOD", "300", "PUBLISH-PERIOD", "300", "PING-PERIOD", "200"});
}

void Sentinel::kill9() {
    program_->signal(SIGKILL);
    program_->wait();
}

SentinelSet::SentinelSet(SentinelOptions options) : options_(std::move(options)) {
    for (const auto& machine : options_.machines) {
        RedisOptions one;
        one.engine = options_.engine;
        one.address = machine.address;
        one.program = machine.program;
        // A replica that was away is in step again at once, where it still knows the primary's stream.
        one.config = {"repl-diskless-sync-delay 0", "repl-ping-replica-period 1", "repl-timeout 5",
                      "repl-backlog-size 64mb"};
        if (!servers_.empty())
            one.config.push_back("replicaof " + servers_.front()->address() + ' ' +
                                 std::to_string(servers_.front()->port()));
        one.config.insert(one.config.end(), options_.config.begin(), options_.config.end());
        servers_.push_back(std::make_unique<RedisServer>(std::move(one)));
    }
    for (const auto& machine : options_.machines)
        sentinels_.push_back(std::make_unique<Sentinel>(options_, machine, *servers_.front()));
    const int others = static_cast<int>(sentinels_.size()) - 1;
    const auto knows_all = [&](const Sentinel& sentinel) {
        const auto told = sentinel.command({"SENTINEL", "MASTER", name});
        std::map<std::string, std::string> facts;
        for (std::size_t i = 0; i + 1 < told.size(); i += 2)
            facts[told[i]] = told[i + 1];
        return facts["num-other-sentinels"] == std::to_string(others) && facts["num-slaves"] == "2" &&
               facts["flags"] == "master";
    };
    const bool ready = eventually([&] {
        if (replicas_online() < 2) return false;
        for (const auto& sentinel : sentinels_) {
            if (!knows_all(*sentinel)) return false;
        }
        return true;
    });
    if (!ready)
        throw std::runtime_error("the sentinels did not find each other; one wrote: " +
                                 sentinels_.back()->log());
}

std::string SentinelSet::url(int database) const {
    std::string hosts;
    for (std::size_t i = 0; i < sentinels_.size(); ++i) {
        hosts +=
            (i == 0 ? "" : ",") + options_.machines[i].address + ':' + std::to_string(sentinels_[i]->port());
    }
    return "redis+sentinel://" + hosts + '/' + name + '/' + std::to_string(database);
}

int SentinelSet::primary_port(const Sentinel& sentinel) const {
    try {
        return std::stoi(sentinel.command({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", name}).at(1));
    } catch (const std::exception&) {
        return 0;
    }
}

std::size_t SentinelSet::primary() const {
    std::map<int, int> votes;
    for (const auto& sentinel : sentinels_)
        ++votes[primary_port(*sentinel)];
    for (std::size_t i = 0; i < servers_.size(); ++i) {
        const auto vote = votes.find(servers_[i]->port());
        if (vote != votes.end() && vote->second >= 2) return i;
    }
    throw std::runtime_error("the sentinels do not agree on a primary");
}

int SentinelSet::replicas_online() const {
    try {
        const std::string info = servers_.at(primary())->command({"INFO", "replication"}).at(0);
        int online = 0;
        for (const char* replica : {"slave0", "slave1"}) {
            const std::string state = value_of(info, replica);
            if (state.find("state=online") != std::string::npos) ++online;
        }
        return online;
    } catch (const std::exception&) {
        return 0;
    }
}

}  // namespace sema::test
