#pragma once

#include "tests/support/redis_server.hpp"

#include <memory>
#include <string>
#include <vector>

namespace sema::test {

/// How a SentinelSet is started.
struct SentinelOptions {
    std::string engine = "redis";
    /// Further lines for the configuration of the three data servers, and of the sentinels.
    std::vector<std::string> config;
    std::vector<std::string> sentinel_config;
    /// How long a server is silent before a sentinel takes it to be down.
    std::chrono::milliseconds down_after{700};
    std::chrono::milliseconds failover_timeout{3000};
    /// Of the three machines, on each of which are a data server and a sentinel: where their programs listen
    /// and how they are started. Default: all on this one.
    struct Machine {
        std::string address = "127.0.0.1";
        ProgramOptions program;
    };
    std::vector<Machine> machines = std::vector<Machine>(3);
};

/// One sentinel of a set.
class Sentinel {
  public:
    Sentinel(const SentinelOptions& options, const SentinelOptions::Machine& machine,
             const RedisServer& primary);

    int port() const { return port_.number(); }
    std::filesystem::path socket() const { return folder_.path() / "socket"; }
    pid_t pid() const { return program_->pid(); }
    void start();
    void kill9();
    void pause() { program_->signal(SIGSTOP); }
    void resume() { program_->signal(SIGCONT); }
    std::vector<std::string> command(const std::vector<std::string>& words) const {
        return redis_command(socket(), words);
    }
    std::string log() const { return program_->out(); }

  private:
    ProgramOptions program_options_;
    TempDir folder_{data_parent()};
    ReservedPort port_;
    std::unique_ptr<Program> program_;
};

/// A primary, two replicas, and three sentinels that know of each other: a replica takes the primary's place
/// where two of the sentinels find that it is away.
class SentinelSet {
  public:
    /// Returns once all know of all, and both replicas have the primary's data.
    explicit SentinelSet(SentinelOptions options = {});

    /// The name of the set.
    static constexpr const char* name = "sema";
    /// `redis+sentinel://HOST:PORT,HOST:PORT,HOST:PORT/sema/DATABASE`
    std::string url(int database = 0) const;

    /// The data server on that machine, 0..2, whatever its role.
    RedisServer& server(std::size_t machine) { return *servers_.at(machine); }
    Sentinel& sentinel(std::size_t machine) { return *sentinels_.at(machine); }

    /// The machine whose data server is the primary, as most sentinels have it.
    std::size_t primary() const;
    /// How many replicas the primary has connected; 0 where it can't be asked.
    int replicas_online() const;

  private:
    /// The port of the primary as this sentinel has it; 0 where it does not tell.
    int primary_port(const Sentinel& sentinel) const;

    SentinelOptions options_;
    std::vector<std::unique_ptr<RedisServer>> servers_;
    std::vector<std::unique_ptr<Sentinel>> sentinels_;
};

}  // namespace sema::test
