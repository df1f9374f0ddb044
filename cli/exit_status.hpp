#pragma once

#include <optional>

/// Every exit status of semactl, in one place. `semactl run` exits with the status of the command it ran,
/// so its own statuses keep out of the range that commands use; where sysexits.h or the shells have a
/// number for the same thing, that number is taken.
namespace sema::exit_status {

/// Done. `run` never exits 0 on its own account: only because the command ran and exited 0.
inline constexpr int done = 0;

/// The server's answer is no: nothing was returned, or there was nothing to delete. Not from `run`.
inline constexpr int no = 1;

/// The command line or the configuration file is wrong. `run` exits with `failed` instead, since many
/// commands use 2 themselves.
inline constexpr int usage = 2;

/// The server knows no such pool (EX_NOINPUT).
inline constexpr int no_such_pool = 66;

/// The pool has no such task (EX_NOUSER). Only from `dispatch`.
inline constexpr int no_such_task = 67;

/// The server could not be reached, kept failing, or had no room for more, until the wait ran out
/// (EX_UNAVAILABLE).
inline constexpr int unreachable = 69;

/// No slot became free within the wait (EX_TEMPFAIL). `run --conflict-exit-code` changes it.
inline constexpr int no_slot = 75;

/// The lease ended before the command did, and the command was stopped. Only from `run`.
inline constexpr int lease_lost = 79;

/// Anything else that went wrong within semactl, as with env, nohup and timeout, or was refused by
/// the server.
inline constexpr int failed = 125;

/// The command was found but cannot be executed. Only from `run`.
inline constexpr int not_executable = 126;

/// The command was not found. Only from `run`.
inline constexpr int not_found = 127;

/// The command was ended by this signal, or semactl was while it waited: semactl then ends by it too (see
/// end_by_signal()). No program exits with such a number.
constexpr int of_signal(int number) {
    return 256 + number;
}

/// The signal, where the status is that of one.
constexpr std::optional<int> signal_of(int status) {
    return status > 256 ? std::optional(status - 256) : std::nullopt;
}

/// The number that a shell has for the status: 128 + N for signal N.
constexpr int in_shell(int status) {
    return status > 256 ? status - 128 : status;
}

}  // namespace sema::exit_status
