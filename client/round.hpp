#pragma once

#include "client/boot_clock.hpp"
#include "client/outcome.hpp"
#include "client/server_address.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sema {

/// Why a server is of no use for a call at the moment, the most promising reason first: one that was reached
/// and has no room is waited for, one that was not may come back, and one whose answer no semad gives may be
/// none.
using Away = std::variant<Busy, Unreachable, Rejected>;

/// One call, made to one server after the other until one of them answers.
class Round {
  public:
    /// It begins with the server of this number, and all of it takes up to `limit`. The list must outlive it.
    Round(const std::vector<ServerAddress>& servers, std::size_t first, Duration limit);

    /// The server whose turn it is.
    std::size_t server() const { return (first_ + failed_) % servers_->size(); }
    /// How many have failed.
    std::size_t failed() const { return failed_; }

    /// What this server may take for its answer, so that those after it have as much.
    Duration limit() const;
    /// The same for its connection. `usual` is what a single server gets.
    Duration connect_limit(Duration usual) const;

    /// This server is of no use.
    void fail(Away why);
    /// Whether another one can be tried, whose turn it is then.
    bool has_next() const;
    /// Whether one of those that failed may have done what it was asked for.
    bool may_be_done() const { return may_be_done_; }

    struct End {
        std::size_t server;
        Away why;
    };
    /// What is to be said once all have failed: of the server that this is mostly about, what is wrong with
    /// it, and with the others. The same each time that the same is wrong with them. REQUIRES: one has
    /// failed.
    End end() const;
    /// What is wrong with those that failed, each with its name. Empty where none has.
    std::string troubles() const;

  private:
    std::string trouble(std::size_t server) const;

    const std::vector<ServerAddress>* servers_;
    std::size_t first_;
    Moment end_;
    std::size_t failed_ = 0;
    bool may_be_done_ = false;
    /// By the servers' numbers.
    std::vector<std::optional<Away>> why_;
};

}  // namespace sema
