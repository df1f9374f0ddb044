#pragma once

#include "cli/own_command_line.hpp"

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sema {

/// Writes to a file by way of a process of its own, named `slot-messages`: a write to a file on a disk that
/// hangs, as one of a network, cannot be interrupted, and holds up that process alone. It is started for the
/// first text, ends with this object or this process, and does nothing about any signal.
class ApartWriter {
  public:
    /// Whether to write to it may take for ever: pipes, sockets and terminals can be left.
    static bool is_needed_for(int fd);

    /// REQUIRES: /proc is this process's own.
    explicit ApartWriter(int fd);
    /// Gives the file half a second for what is on its way to it, or what wait_at_end() says.
    ~ApartWriter();
    ApartWriter(const ApartWriter&) = delete;
    ApartWriter& operator=(const ApartWriter&) = delete;

    /// Starts the process, unless there is one. False where the system refuses that.
    bool start();

    /// Hands over as much of the text as there is room for, and returns how much that was. It has been
    /// written by then, unless the file is slow: that is waited for once, for a twentieth of a second, and no
    /// more until all has been written.
    std::size_t write(std::string_view text);

    /// How long to wait at the end for what is on its way.
    void wait_at_end(std::chrono::milliseconds patience) { last_patience_ = patience; }

    /// The process, a child of this one; -1 where there is none.
    pid_t pid() const { return pid_; }
    /// Its end came by itself, and its status was collected.
    void was_reaped();

  private:
    void take_answers();
    bool wait_until_written(std::chrono::milliseconds patience);
    void let_go();

    const int fd_;
    const OwnCommandLine command_line_;
    pid_t pid_ = -1;
    int socket_ = -1;
    /// Bytes that were handed over, and have yet to be written.
    std::uint64_t under_way_ = 0;
    bool lags_ = false;
    std::chrono::milliseconds last_patience_{500};
};

}  // namespace sema
